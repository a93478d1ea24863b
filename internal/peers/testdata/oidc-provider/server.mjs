// An authorization server for tests: oidc-provider, at its strictest. PKCE is
// forced, each refresh token is good once, and using one again ends the grant.
//
//	node server.mjs FOLDER CONFIG
//
// FOLDER holds node_modules. CONFIG is a JSON object: client_id, client_secret,
// redirect_uri, and access_token_life in seconds. It listens on a free loopback
// port, and says so in its first line.
//
// Beside the routes of oidc-provider there are two:
//
//	POST /interaction/UID   who the person is, in account; that person approves
//	GET  /ledger?account=   what the person has been issued and what was rotated,
//	                        and how it is now
import { createServer } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

const [folder, config] = process.argv.slice(2);
const settings = JSON.parse(config);
const library = join(folder, 'node_modules', 'oidc-provider', 'lib', 'index.js');
const { Provider } = await import(pathToFileURL(library));

const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: settings.client_id,
    client_secret: settings.client_secret,
    redirect_uris: [settings.redirect_uri],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_basic',
  }],
  scopes: ['openid', 'orders'],
  cookies: { keys: ['for tests'] },
  features: { devInteractions: { enabled: false }, revocation: { enabled: true } },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: () => true, // without offline_access, which wants a prompt
  expiresWithSession: () => false,
  ttl: {
    AccessToken: settings.access_token_life,
    IdToken: 3600, RefreshToken: 30 * 86400, Grant: 365 * 86400, Session: 86400, Interaction: 600,
  },
});

// What the hooks of oidc-provider have told, in its order.
const accessTokens = [];
const refreshTokens = [];
const rotations = [];
provider.on('access_token.saved', (token) => accessTokens.push(token));
provider.on('refresh_token.saved', (token) => refreshTokens.push(token));
provider.on('grant.success', ({ oidc: { entities } }) => {
  const { RotatedRefreshToken: from, RefreshToken: to } = entities;
  if (from) rotations.push({ accountId: from.accountId, from: from.jti, to: to.jti });
});
provider.on('server_error', (ctx, err) => console.error(err));

// The server itself is asked what each token is worth now. An opaque token is
// its own identifier.
async function ledger(account) {
  const theirs = (all) => all.filter(({ accountId }) => accountId === account);
  const entry = async ({ kind, jti }) => {
    const now = await provider[kind].find(jti);
    return { token: jti, state: !now ? 'revoked' : now.consumed ? 'spent' : 'live' };
  };
  return {
    rotations: theirs(rotations).map(({ from, to }) => ({ from, to })),
    access_tokens: await Promise.all(theirs(accessTokens).map(entry)),
    refresh_tokens: await Promise.all(theirs(refreshTokens).map(entry)),
  };
}

// approve logs a person in and gives all that was asked for, on one page.
async function approve(req, res) {
  const { params } = await provider.interactionDetails(req, res);
  const accountId = new URLSearchParams(await text(req)).get('account');
  const grant = new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  const result = { login: { accountId }, consent: { grantId: await grant.save() } };
  await provider.interactionFinished(req, res, result);
}

const callback = provider.callback();
server.on('request', async (req, res) => {
  const { pathname, searchParams } = new URL(req.url, issuer);
  try {
    if (pathname === '/ledger') {
      res.setHeader('Content-Type', 'application/json');
      res.end(JSON.stringify(await ledger(searchParams.get('account'))));
    } else if (pathname.startsWith('/interaction/')) {
      if (req.method === 'POST') await approve(req, res);
      else res.end('Who are you?');
    } else {
      callback(req, res);
    }
  } catch (err) {
    console.error(err);
    res.writeHead(500).end();
  }
});
console.log(`listening on ${issuer}`);
