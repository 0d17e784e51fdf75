// Where a browser signs in at the identity provider, and where it comes back to.

/** The page comes back to the present view; a tab that was opened only to sign in, to the first one. */
export function signInAddress(here: { pathname: string; search: string }, isOnlyToSignIn: boolean): string {
  const to = isOnlyToSignIn ? '/console' : here.pathname + here.search;
  return `/access/oidc/login?return_to=${encodeURIComponent(to)}`;
}
