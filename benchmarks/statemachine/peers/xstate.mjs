// The four workloads on XState v5, with `await` around each send as an asynchronous caller has it.
import { createActor, createMachine, assign } from "xstate";

const step = { entry: () => {}, exit: () => {} };
const level = (names) =>
  names.length === 1
    ? { ...step }
    : { ...step, initial: names[1], states: { [names[1]]: level(names.slice(1)) } };
const inc = assign({ n: ({ context }) => context.n + 1 });
const small = ({ context }) => context.n < 1e9;
const regions = Object.fromEntries(
  [0, 1, 2, 3].map((i) => [
    `r${i}`,
    { initial: "a", states: { a: { on: { GO: "b" } }, b: { on: { GO: "a" } } } },
  ]),
);
const machines = {
  flat: { initial: "a", states: { a: { on: { GO: "b" } }, b: { on: { GO: "a" } } } },
  guarded: {
    context: { n: 0 },
    initial: "a",
    states: {
      a: { on: { GO: { target: "b", guard: small, actions: inc } } },
      b: { on: { GO: { target: "a", guard: small, actions: inc } } },
    },
  },
  hierarchy: {
    initial: "a",
    states: {
      a: { ...level(["a", "b", "c"]), on: { GO: "d" } },
      d: { ...level(["d", "f", "g"]), on: { GO: "a" } },
    },
  },
  parallel: { type: "parallel", states: regions },
};

const events = Number(process.argv[2]);
const passes = Number(process.argv[3]);
const cpu = () => {
  const used = process.cpuUsage();
  return (used.user + used.system) / 1e6;
};
const result = {};
for (const observed of [false, true]) {
  for (const [name, config] of Object.entries(machines)) {
    const actor = createActor(createMachine(config));
    if (observed) actor.subscribe(() => {});
    actor.start();
    const send = async (event) => {
      actor.send(event);
      return actor.getSnapshot();
    };
    for (let i = 0; i < 2000; i++) await send({ type: "GO" });
    let best = 0;
    for (let pass = 0; pass < passes; pass++) {
      const start = cpu();
      for (let i = 0; i < events; i++) await send({ type: "GO" });
      best = Math.max(best, events / (cpu() - start) / 1000);
    }
    result[observed ? `${name}_observed` : name] = best;
  }
}
process.stdout.write(JSON.stringify(result));
