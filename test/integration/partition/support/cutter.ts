// A proxy that loses exactly the answer it is told to lose.
export { type Cutter, shaOf, startCutter } from '../../lease/support/cutter.js';
