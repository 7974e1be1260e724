// What a Node program with a token does through the npm package `consul`; one JSON line for each step.
//   node acl_client.js MODULES HOST PORT TOKEN
const [modules, host, port, token] = process.argv.slice(2);
const Consul = require(`${modules}/consul`);
const say = (...seen) => console.log(JSON.stringify(seen));

async function step(what, call) {
  try {
    const answer = await call();
    say(what, answer === undefined ? null : answer);
  } catch (error) {
    say(what, error.statusCode, error.response && error.response.body ? String(error.response.body) : error.message);
  }
}

async function main() {
  const mine = new Consul({ host, port: Number(port), defaults: { token } });
  const nobody = new Consul({ host, port: Number(port) });
  const unknown = new Consul({ host, port: Number(port), defaults: { token: "cf000000-0000-0000-0000-00000000dead" } });
  await step("write", () => mine.kv.set("mine", "1"));
  await step("read", () => mine.kv.get("mine").then((entry) => entry.Value));
  await step("another key", () => mine.kv.set("other", "1"));
  await step("nobody reads", () => nobody.kv.get("mine"));
  await step("unknown token", () => unknown.kv.get("mine"));
  await step("register", () => mine.agent.service.register({ name: "noded", port: 1 }));
  await step("register another", () => mine.agent.service.register({ name: "db", port: 2 }));
  await step("my services", () => mine.agent.services().then((all) => Object.keys(all)));
  await step("nobody's services", () => nobody.agent.services().then((all) => Object.keys(all)));
  await step("members", () => nobody.agent.members());
  await step("deregister", () => mine.agent.service.deregister("noded"));
  await step("delete", () => mine.kv.del("mine"));
  await step("bootstrap", () => nobody.acl.bootstrap());
}

main().catch((error) => { console.error(error); process.exit(1); });
