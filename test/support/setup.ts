// Nest's decorators write their metadata through this; it must be there before the first decorated class.
import 'reflect-metadata';
