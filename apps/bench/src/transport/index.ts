import type { Bench } from '../model.js';
import type { Role } from '../workers/role.js';
import { transportClientRoles } from './client-roles.js';
import { transportEventsBench } from './events.js';
import { transportRawRoles } from './raw-roles.js';
import { transportRequestsBench } from './requests.js';
import { transportServerRoles } from './server-roles.js';

export const TRANSPORT: readonly Bench[] = [transportEventsBench, transportRequestsBench];

export const transportRoles: Readonly<Record<string, Role>> = { ...transportClientRoles, ...transportRawRoles, ...transportServerRoles };
