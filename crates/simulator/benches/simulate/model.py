"""The benchmark's rolling plan as a SimPy model, by the rules of the native mode as far as they are in play there.

Takes the model as JSON on standard input and prints what the runs came to. It leaves out versions and dependencies between
services, which the native mode keeps account of as well.
"""

import json
import random
import sys
import time

import simpy

SHARES = {"patch": 0.6, "reboot": 0.1, "health": 0.25, "lost": 0.05}
TIMEOUTS = {"reboot": 300.0, "health": 120.0, "lost": 600.0}
ATTEMPTS = 2


class World:
    """Who is up, how long services are below what they need, and what has been exposed for how long."""

    def __init__(self, model):
        self.nodes = model["nodes"]
        self.needed = model["min_up"]
        self.up = [0] * len(self.needed)
        for node in self.nodes:
            self.up[node["service"]] += 1
        self.below_since = [None] * len(self.needed)
        self.downtime = 0.0
        self.exposure = 0.0
        self.attempts = 0

    def take_down(self, service, now):
        self.up[service] -= 1
        if self.up[service] == self.needed[service] - 1:
            self.below_since[service] = now

    def bring_up(self, service, now):
        self.up[service] += 1
        if self.up[service] == self.needed[service]:
            self.downtime += now - self.below_since[service]


def draw_way(node, luck):
    shares = {way: share for way, share in SHARES.items() if way != "reboot" or node["reboots"]}
    return luck.choices(list(shares), list(shares.values()))[0]


def work(env, world, node, luck):
    service = node["service"]
    for _ in range(ATTEMPTS):
        world.attempts += 1
        took = node["seconds"] * luck.triangular(0.8, 2.0, 1.0)
        world.take_down(service, env.now)
        if luck.random() >= node["failure_probability"]:
            yield env.timeout(took)
            world.bring_up(service, env.now)
            world.exposure += node["weight"] * env.now
            return
        way = draw_way(node, luck)
        noticed = took * luck.random() if way == "patch" else took + TIMEOUTS[way]
        if way == "lost":
            yield env.timeout(noticed)
            return
        yield env.timeout(noticed + took * 0.5)
        world.bring_up(service, env.now)


def roll_out(env, world, steps, luck):
    for step in steps:
        yield env.all_of([env.process(work(env, world, world.nodes[node], luck)) for node in step])


def main():
    model = json.load(sys.stdin)
    attempts, seconds = 0, 0.0
    began = time.process_time()
    for seed in range(model["runs"]):
        env, world = simpy.Environment(), World(model)
        env.process(roll_out(env, world, model["steps"], random.Random(seed)))
        env.run()
        attempts += world.attempts
        seconds += env.now
    cpu_seconds = time.process_time() - began
    answer = {
        "version": simpy.__version__,
        "attempts": attempts,
        "cpu_seconds": cpu_seconds,
        "mean_seconds": seconds / model["runs"],
    }
    print(json.dumps(answer))


main()
