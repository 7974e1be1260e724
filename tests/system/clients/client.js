// What a Node program does with the npm package `consul`; it prints one JSON line for each step, and reads on at the end.
//   node client.js MODULES HOST PORT
const [modules, host, port] = process.argv.slice(2);
const Consul = require(`${modules}/consul`);
const consul = new Consul({ host, port: Number(port) });
const say = (step, value) => console.log(JSON.stringify([step, value]));

// Ask until `check` likes the answer.
async function until(ask, check) {
  for (let tries = 0; tries < 100; tries++) {
    const answer = await ask();
    if (check(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("never came true: " + ask);
}

// The next change of a blocking watch that `check` likes.
function change(watch, check) {
  return new Promise((resolve, reject) => {
    const look = (data) => {
      if (!check(data)) return;
      watch.removeListener("change", look);
      resolve(data);
    };
    watch.on("change", look);
    watch.on("error", reject);
  });
}

async function main() {
  say("leader", await consul.status.leader());
  say("members", (await consul.agent.members()).map((each) => each.Name).sort());
  const watch = consul.watch({
    method: consul.health.service,
    options: { service: "noded", passing: true, wait: "20s" },
  });
  const gone = (list) => list.length === 0;
  const there = (list) => list.length === 1;
  await change(watch, gone);

  let seen = change(watch, there);
  await consul.agent.service.register({
    id: "noded-1", name: "noded", address: "127.78.0.40", port: 4000, tags: ["a", "b"],
    meta: { version: "1" }, check: { ttl: "10m", status: "passing" },
  });
  const [instance] = await seen;
  say("came", [instance.Service.ID, instance.Service.Tags, instance.Service.Meta, instance.Node.Node]);

  const status = async () => (await consul.health.checks("noded"))[0];
  seen = change(watch, gone);
  await consul.agent.check.fail({ id: "service:noded-1", note: "on fire" });
  await seen;
  say("fail", await until(status, (check) => check.Status === "critical").then((check) => check.Output));
  await consul.agent.check.warn({ id: "service:noded-1", note: "hot" });
  say("warn", await until(status, (check) => check.Status === "warning").then((check) => check.Output));
  seen = change(watch, there);
  await consul.agent.check.pass("service:noded-1");
  await seen;

  say("services", (await consul.catalog.service.list()).noded);
  say("nodes", (await consul.catalog.service.nodes("noded")).map((each) => [each.ServiceAddress, each.ServicePort]));
  say("agent", (await consul.agent.service.list())["noded-1"].Port);
  say("datacenters", await consul.catalog.datacenters());
  say("catalog nodes", (await consul.catalog.node.list()).map((each) => each.Node).sort());

  await consul.agent.check.register({ name: "extra", ttl: "10m", serviceid: "noded-1" });
  seen = change(watch, gone); // its second check starts critical
  await seen;
  await consul.agent.check.deregister("extra");
  await change(watch, there);

  await consul.agent.service.maintenance({ id: "noded-1", enable: true, reason: "tea" });
  await change(watch, gone);
  await consul.agent.service.maintenance({ id: "noded-1", enable: false });
  await change(watch, there);

  seen = change(watch, gone);
  await consul.agent.service.deregister("noded-1");
  await seen;
  watch.end();
  say("gone", await consul.health.service("noded"));
  try {
    await consul.agent.check.pass("service:noded-1");
    say("error", null);
  } catch (error) {
    say("error", [error.statusCode, error.response.body]);
  }
}

main().then(() => process.exit(0), (error) => {
  console.log(error);
  process.exit(1);
});
