import { expect, test } from 'vitest';
import { signInAddress } from '../../src/lib/sign-in';

test('a browser comes back to the view in which it began', () => {
  const here = { pathname: '/console/hosts', search: '?env=prod&q=a%20b' };
  expect(signInAddress(here, false)).toBe('/access/oidc/login?return_to=%2Fconsole%2Fhosts%3Fenv%3Dprod%26q%3Da%2520b');
  expect(signInAddress(here, true)).toBe('/access/oidc/login?return_to=%2Fconsole');
});
