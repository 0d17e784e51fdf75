// A real OpenID Connect provider on a free port of this machine, for tests.
//
// The first line of standard input has the clients and the accounts; the first line of the output has the issuer. Each further line
// is a command, answered by one line: `set` an account, `rotate` the key, or `sign` a token with the key of the provider or another one.
import { createSign, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { Provider } from 'oidc-provider';

// The provider writes notices; standard output is for answers.
console.info = console.error;
console.warn = console.error;

const accounts = new Map();
let issuer;
let setting;
let keys = [newKey()];
const otherKey = newKey();
let answer = (request, response) => response.writeHead(503).end();

function newKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { kid: randomBytes(6).toString('hex'), privateKey };
}

function start() {
  const jwks = keys.map(({ kid, privateKey }) => ({ ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' }));
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: 'console',
        client_secret: setting.secret,
        redirect_uris: setting.redirects,
        post_logout_redirect_uris: setting.after_logout,
        grant_types: ['authorization_code'],
        response_types: ['code'],
      },
      {
        client_id: 'command-line',
        token_endpoint_auth_method: 'none',
        grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    jwks: { keys: jwks },
    claims: { openid: ['sub'], profile: ['preferred_username', 'groups'], email: ['email', 'email_verified'] },
    // Claims of scopes are in the ID token.
    conformIdTokenClaims: false,
    features: { deviceFlow: { enabled: true }, devInteractions: { enabled: true } },
    pkce: { required: () => true },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    async findAccount(_, sub) {
      const claims = accounts.get(sub);
      return claims && { accountId: sub, claims: async () => ({ sub, ...claims }) };
    },
  });
  answer = provider.callback();
}

function sign({ header, claims, key }) {
  const own = keys[0];
  const used = key === 'other' ? { ...otherKey, kid: own.kid } : own;
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const all = { iss: issuer, aud: 'command-line', iat: now, exp: now + 300, ...claims };
  const message = `${part({ alg: 'RS256', kid: used.kid, ...header })}.${part(all)}`;
  return `${message}.${key === 'none' ? '' : createSign('RSA-SHA256').update(message).sign(used.privateKey, 'base64url')}`;
}

function obey(command) {
  if (command.set) accounts.set(command.set.sub, command.set.claims);
  if (command.rotate) {
    keys = [newKey()];
    start();
  }
  return command.sign ? { token: sign(command.sign) } : {};
}

const server = createServer((request, response) => answer(request, response));
server.listen(0, '127.0.0.1', () => {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    if (setting) return console.log(JSON.stringify(obey(JSON.parse(line))));
    setting = JSON.parse(line);
    issuer = `http://127.0.0.1:${server.address().port}`;
    start();
    console.log(JSON.stringify({ issuer }));
  });
  lines.on('close', () => process.exit(0));
});
