// The peer `isbot` for bench/micro/children.py: "STEP ROUNDS" in, "BOTS CPU_NS" out. The agents: one a line in the file given.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

import { isbot } from "isbot";

const agents = readFileSync(process.argv[2], "utf8").split("\n").filter(Boolean);

for await (const line of createInterface({ input: process.stdin })) {
  const rounds = Number(line.split(" ")[1]);
  const before = process.cpuUsage();
  let bots = 0;
  for (let round = 0; round < rounds; round += 1) {
    for (const agent of agents) bots += isbot(agent) ? 1 : 0;
  }
  const spent = process.cpuUsage(before);
  process.stdout.write(`${bots} ${(spent.user + spent.system) * 1000}\n`);
}
