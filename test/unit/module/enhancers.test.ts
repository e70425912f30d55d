import { CanActivate, Controller, Injectable, Scope, UseGuards } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { OnStreamAssigned } from 'nestjs-redis-streams';
import { describe, expect, it } from 'vitest';
import { appOf } from './support/fake-engine.js';

@Injectable()
class Policy {
  readonly open = false;
}
@Injectable()
class Closed implements CanActivate {
  constructor(private readonly policy: Policy) {}
  canActivate(): boolean {
    return this.policy.open;
  }
}
@Injectable({ scope: Scope.TRANSIENT })
class ClosedTransient extends Closed {}

@Injectable({ scope: Scope.REQUEST })
class ClosedPerRequest extends Closed {}

@Injectable()
class Bare {
  @OnStreamAssigned('orders')
  run(): string {
    return 'ran unguarded';
  }
}
@Controller()
class BareController extends Bare {}

class ByToken {
  @UseGuards(Closed)
  @OnStreamAssigned('orders')
  run(): string {
    return 'ran unguarded';
  }
}
@Injectable()
class WithTransient {
  @UseGuards(ClosedTransient)
  @OnStreamAssigned('orders')
  run(): string {
    return 'ran unguarded';
  }
}
@Controller()
class TransientOnController {
  @UseGuards(ClosedTransient)
  @OnStreamAssigned('orders')
  run(): string {
    return 'ran unguarded';
  }
}

describe('a guard given as a class is never left out in silence', () => {
  it.each([
    ['a class under another token', { providers: [Policy, { provide: 'HANDLERS', useClass: ByToken }] }],
    ['a factory', { providers: [Policy, { provide: 'HANDLERS', useFactory: () => new ByToken() }] }],
    ['a value', { providers: [Policy, { provide: 'HANDLERS', useValue: new ByToken() }] }],
    ['a transient guard of a provider', { providers: [Policy, WithTransient] }],
    ['a transient guard of a controller', { providers: [Policy], controllers: [TransientOnController] }],
    ['a request-scoped global guard over a provider', { providers: [Policy, Bare, { provide: APP_GUARD, useClass: ClosedPerRequest }] }],
    ['a transient global guard over a provider', { providers: [Policy, Bare, { provide: APP_GUARD, useClass: ClosedTransient }] }],
    ['a request-scoped global guard over a controller', { providers: [Policy, { provide: APP_GUARD, useClass: ClosedPerRequest }], controllers: [BareController] }],
    ['a transient global guard over a controller', { providers: [Policy, { provide: APP_GUARD, useClass: ClosedTransient }], controllers: [BareController] }],
    ['a request-scoped global guard over a class under another token', { providers: [Policy, { provide: 'X', useClass: Bare }, { provide: APP_GUARD, useClass: ClosedPerRequest }] }],
  ])('%s', async (_what, metadata) => {
    const outcome = await appOf(metadata).then(
      ({ engine }) => engine.assign('orders').catch((error: Error) => error.message),
      (error: Error) => `refused at start: ${error.message}`,
    );
    expect(outcome).toMatch(/Forbidden|refused at start: .*guard/is);
  });
});
