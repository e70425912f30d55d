import { InvalidArgumentError } from 'commander';

/** A number within bounds, or commander's one-line complaint. */
export function numberFrom(min: number, max: number, integer = false): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !(value >= min && value <= max) || (integer && !Number.isInteger(value))) {
      throw new InvalidArgumentError(`It must be ${integer ? 'a whole number' : 'a number'} from ${min} to ${max}.`);
    }
    return value;
  };
}
