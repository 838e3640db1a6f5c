/** A cluster of its own for the browser: NATS with JetStream, two nodes, and a gateway that holds the sockets. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createWriteStream } from 'node:fs';

const WITHIN = 60_000; // ms until a process is ready

/** A port that was free a moment ago. */
const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** Asks until the answer is this. */
async function until(what, look) {
  const end = Date.now() + WITHIN;
  while (!(await look().catch(() => false))) {
    if (Date.now() > end) throw new Error(`not within ${WITHIN / 1000} s: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 50));
  }
}

export class Cluster {
  processes = new Map(); // by name

  static async start({ ringway, nats }) {
    const cluster = new Cluster();
    cluster.folder = await mkdtemp(join(tmpdir(), 'ringway-browser-'));
    try {
      await cluster.begin(ringway, nats);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  async begin(ringway, nats) {
    const broker = await freePort();
    this.run('nats', nats, ['-a', '127.0.0.1', '-p', String(broker), '-js', '-sd', join(this.folder, 'jetstream')]);
    const config = join(this.folder, 'ringway.toml');
    await writeFile(config, `
[gateway]
auth = "off"
path = "relay"
[nats]
urls = ["nats://127.0.0.1:${broker}"]
[cluster]
secret = "a-secret-of-these-tests-0123456789"
[stores.kept]
age = "1h"
[[classes]]
rooms = "kept-**"
store = "kept"
`);
    const admins = [];
    const part = async (name, command, section, more = {}) => {
      const [listen, admin] = [await freePort(), await freePort()];
      const env = {
        [`RINGWAY_${section}__LISTEN`]: `127.0.0.1:${listen}`, [`RINGWAY_${section}__ADMIN`]: `127.0.0.1:${admin}`, ...more,
      };
      this.run(name, ringway, [command, '--config', config], env);
      admins.push(admin);
      return `http://127.0.0.1:${listen}`;
    };
    for (const id of ['node-1', 'node-2']) await part(id, 'node', 'NODE', { RINGWAY_NODE__ID: id });
    this.base = await part('gateway', 'gateway', 'GATEWAY');
    for (const admin of admins) {
      await until('a process is ready', async () => (await fetch(`http://127.0.0.1:${admin}/readyz`)).ok);
      await until('all see both nodes', async () => {
        const ring = await (await fetch(`http://127.0.0.1:${admin}/debug/ring`)).json();
        return ring.nodes.length === 2;
      });
    }
  }

  run(name, program, args, env = {}) {
    const log = createWriteStream(join(this.folder, `${name}.log`));
    // What whoever runs the tests has set mustn't change what they test.
    const clean = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('RINGWAY_')));
    const child = spawn(program, args, { env: { ...clean, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    child.on('error', error => console.log(`${name}: ${error}`));
    child.stdout.pipe(log);
    child.stderr.pipe(log);
    this.processes.set(name, child);
  }

  /** SIGKILL, and waits for the end. */
  async kill(name) {
    const child = this.processes.get(name);
    this.processes.delete(name);
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise(resolve => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async stop() {
    for (const name of [...this.processes.keys()].reverse()) await this.kill(name);
    await rm(this.folder, { recursive: true, force: true });
  }
}
