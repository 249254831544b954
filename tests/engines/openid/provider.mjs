// A real OpenID provider (node-oidc-provider) for the tests: over TLS on a free port, with a login page of its own.
// Its settings come as JSON in ISTHMUS_TEST_OIDC_SETTINGS; its address is the first line it prints.
import https from "node:https";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const settings = JSON.parse(readFileSync(process.env.ISTHMUS_TEST_OIDC_SETTINGS, "utf-8"));
const { Provider } = await import(pathToFileURL(`${settings.modules}/oidc-provider/lib/index.js`));

let answer = (_, response) => response.writeHead(503).end();
const tls = { cert: readFileSync(settings.certificate), key: readFileSync(settings.key) };
const server = https.createServer(tls, (request, response) => answer(request, response));
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const issuer = `https://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: settings.clients,
  jwks: settings.jwks,
  acrValues: ["urn:practice:password", "urn:practice:card"],
  claims: { openid: ["sub"], profile: ["name", "role", "organisation"] },
  cookies: { keys: ["practice"] },
  features: { devInteractions: { enabled: false }, pushedAuthorizationRequests: { enabled: settings.pushed } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
  ttl: { Session: 3600, Interaction: 600, Grant: 3600, IdToken: 3600, AccessToken: 300 },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...settings.people[id] }) }),
  async loadExistingGrant(context) {
    // nobody is asked whether their hospital may know their name
    const grant = new context.oidc.provider.Grant({
      clientId: context.oidc.client.clientId,
      accountId: context.oidc.session.accountId,
    });
    grant.addOIDCScope("openid profile");
    await grant.save();
    return grant;
  },
});
provider.on("server_error", (_, error) => console.error(error));

const page = (uid, words) => `<!doctype html><title>Practice identity service</title><main><p>${words}</p>
<form method="post" action="/interaction/${uid}"><input name="login"><input name="password" type="password"><button>Sign in</button></form></main>`;

async function interaction(request, response) {
  const { uid, params } = await provider.interactionDetails(request, response);
  if (request.method !== "POST") {
    return response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page(uid, "Who are you?"));
  }
  const parts = [];
  for await (const part of request) parts.push(part);
  const form = new URLSearchParams(Buffer.concat(parts).toString());
  const login = form.get("login");
  if (!(login in settings.people) || form.get("password") !== settings.password) {
    return response.writeHead(403, { "content-type": "text/html; charset=utf-8" }).end(page(uid, "No."));
  }
  const wanted = (params.acr_values ?? "").split(" ");
  const acr = wanted.includes("urn:practice:password") ? "urn:practice:password" : "urn:practice:card";
  await provider.interactionFinished(request, response, { login: { accountId: login, acr, amr: ["pwd"] } });
}

const callback = provider.callback();
answer = (request, response) => {
  if (!request.url.startsWith("/interaction/")) return callback(request, response);
  interaction(request, response).catch((error) => {
    console.error(error);
    response.writeHead(400).end();
  });
};
console.log(issuer);
