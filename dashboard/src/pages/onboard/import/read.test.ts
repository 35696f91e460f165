import { describe, expect, test } from "vitest";
import { EMPTY } from "../form";
import { atOnce } from "./atOnce";
import { matches } from "./pattern";
import { readMachines, recognise } from "./read";
import { requestOf } from "./request";
import { ImportRefused, MOST_ROWS } from "./row";

const read = (text: string) => readMachines(text, recognise(text));

async function refusal(text: string): Promise<string> {
  const error = await read(text).then(
    () => null,
    (refused: unknown) => refused,
  );
  expect(error).toBeInstanceOf(ImportRefused);
  return error instanceof Error ? error.message : "";
}

describe("a format is recognised", () => {
  test.each([
    ["openssh", "# mine\nHost gpu-1\n  HostName 203.0.113.7\n"],
    ["openssh", "Port 2222\nHost=gpu-1"],
    ["openssh", "Host\tgpu-1"],
    ["json", '\uFEFF\n [{"host": "a"}]'],
    ["json", '{"instances": []}'],
    ["csv", "name,host\ngpu-1,a"],
    ["csv", "host\tport\tuser\na\t22\troot"],
    ["csv", "host\na\n"],
  ])("as %s: %j", (format, text) => {
    expect(recognise(text)).toBe(format);
  });
});

describe("OpenSSH", () => {
  const CONFIG = `
Include ~/.ssh/other
Host bastion
  ProxyJump none
Host gpu-1
  HostName 203.0.113.7
  Port 41022
Host gpu-2 gpu-3 # two of a kind
  HostName %h.lab.example
  User "ubuntu"
Host inner
  HostName 10.0.0.3
  ProxyJump bastion
Host gpu-? !gpu-3
  User gpu
  Port 2200
Match exec "touch /tmp/owned"
  User nobody
Host *
  User admin
`;

  test("each alias is a machine, with the first value that the file gives it", async () => {
    const { rows } = await read(CONFIG);
    expect(rows.map(({ name, host, port, user }) => [name, host, port, user])).toEqual([
      ["bastion", "bastion", 22, "admin"],
      ["gpu-1", "203.0.113.7", 41022, "gpu"],
      ["gpu-2", "gpu-2.lab.example", 2200, "ubuntu"],
      ["gpu-3", "gpu-3.lab.example", 22, "ubuntu"],
      ["inner", "10.0.0.3", 22, "admin"],
    ]);
    expect(rows[1]?.place).toBe("line 5");
  });

  test("patterns are skipped and said to be, as are Match and Include", async () => {
    const { notes } = await read(CONFIG);
    expect(notes.join("\n")).toMatch(/Line 2: Include/);
    expect(notes.join("\n")).toMatch(/Match blocks are not followed/);
    expect(notes.join("\n")).toMatch(/skipped.*: gpu-\?, \*\./);
  });

  test("a machine behind another has a problem", async () => {
    const { rows } = await read(CONFIG);
    expect(rows.filter(({ problems }) => problems.length > 0).map(({ name }) => name)).toEqual([
      "inner",
    ]);
  });

  test("a file of patterns alone names no machine", async () => {
    expect(await refusal("Host *\n  User root\n")).toMatch(/No machine.*skipped.*\*/);
  });

  test("a broken file is told in a sentence", async () => {
    expect(await refusal('Host "gpu-1\n')).toMatch(/quotation mark/);
    expect(await refusal("Host gpu-1\nMatch host")).toMatch(/Missing value|no value/);
    expect(await refusal("Host a\nHost")).toMatch(/no value/);
  });
});

describe("CSV", () => {
  test("has headers by many names, separators of many kinds, and quotes", async () => {
    const { rows, notes } = await read(
      '\uFEFFName;Hostname;Port;User;GPU;Count;Price;Colour\r\ngpu-1;"203.0.113.7";41022;ubuntu;"NVIDIA ""H100""";8;"$2.50/h";red\r\n\r\n',
    );
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({
      name: "gpu-1",
      host: "203.0.113.7",
      port: 41022,
      user: "ubuntu",
      texts: { gpu_name: 'NVIDIA "H100"' },
      amounts: { gpu_count: 8, price_per_hour: 2.5 },
      problems: [],
    });
    expect(notes).toEqual(["Columns that are not used: Colour."]);
  });

  test("the API's own name of a field counts more than another", async () => {
    const { rows } = await read("name,instance_id,ssh_host\nBlue,gpu-1,a.example\n");
    expect(rows[0]?.name).toBe("gpu-1");
  });

  test("a host may be a whole address, and names a machine that has no name", async () => {
    const { rows } = await read("host\nroot@gpu.example:2222\nssh -p 41022 me@b.example\n");
    expect(rows.map(({ name, host, port, user }) => [name, host, port, user])).toEqual([
      ["gpu.example", "gpu.example", 2222, "root"],
      ["b.example", "b.example", 41022, "me"],
    ]);
  });

  test("what is wrong with a row is told at the row", async () => {
    const { rows } = await read(
      "name,host,port,user,count\na,,22,root,1\nb,b.example,99999,root,1\nc,c.example,,ro ot,1\nd,d.example,22,root,many\nd,e.example,22,root,1\nf,http://f,22,root,1\n",
    );
    const told = rows.map(({ problems }) => problems.join(" "));
    expect(told[0]).toMatch(/No host/);
    expect(told[1]).toMatch(/Port “99999”/);
    expect(told[2]).toMatch(/User/);
    expect(told[3]).toMatch(/gpu_count: “many”/);
    expect(told[4]).toMatch(/“d” is taken by row 5/);
    expect(told[5]).toMatch(/Host/);
  });

  test("without a column for the host nothing is guessed", async () => {
    expect(await refusal("some,thing\n1,2")).toMatch(/No column holds a host/);
    expect(await refusal("")).not.toBe("");
  });
});

describe("JSON", () => {
  test("an array, or an object with one, by the API's names and others", async () => {
    const machine = {
      instance_id: 12345,
      ssh_host: "a.example",
      ssh_port: 2222,
      metadata: { x: 1 },
    };
    for (const text of [JSON.stringify([machine]), JSON.stringify({ instances: [machine] })]) {
      const { rows } = await read(text);
      expect(rows[0]).toMatchObject({
        name: "12345",
        port: 2222,
        metadata: { x: 1 },
        problems: [],
      });
    }
  });

  test("an item that is no object is a row with a problem; the others stay", async () => {
    const { rows } = await read('[3, {"host": "a.example"}, null, {"host": {"x": 1}}]');
    expect(rows.map(({ problems }) => problems.length)).toEqual([1, 0, 1, 1]);
  });

  test("anything else is refused in a sentence", async () => {
    expect(await refusal("{")).toMatch(/No valid JSON/);
    expect(await refusal('{"machines": []}')).toMatch(/array of machines/);
    expect(await refusal("[]")).toMatch(/No machine/);
  });

  test("a key that means something to JavaScript is a key like any other", async () => {
    const { rows } = await read(
      '[{"__proto__": {"host": "evil"}, "constructor": 1, "host": "a.example"}]',
    );
    expect(rows[0]?.host).toBe("a.example");
    expect(({} as Record<string, unknown>).host).toBeUndefined();
  });
});

describe("hostile input", () => {
  test("more than 2 MiB are refused at once", async () => {
    expect(await refusal("x".repeat(2 * 1024 * 1024 + 1))).toMatch(/2 MiB/);
  });

  test("more than 5,000 rows are refused in each format", async () => {
    const many = MOST_ROWS + 1;
    const lines = Array.from({ length: many }, (_, at) => `h${at}`);
    expect(await refusal(`host\n${lines.join("\n")}`)).toMatch(/5,000/);
    expect(await refusal(JSON.stringify(lines.map((host) => ({ host }))))).toMatch(/5,000/);
    expect(await refusal(lines.map((host) => `Host ${host}`).join("\n"))).toMatch(/5,000/);
  });

  test("5,000 rows are read", async () => {
    const lines = Array.from({ length: MOST_ROWS }, (_, at) => `h${at}`);
    expect((await read(`host\n${lines.join("\n")}`)).rows).toHaveLength(MOST_ROWS);
    const config = `${lines.map((host) => `Host ${host}`).join("\n")}\nHost *\n  User u`;
    expect((await read(config)).rows.at(-1)?.user).toBe("u");
  });

  test("patterns that would take forever are refused, and none hangs", async () => {
    const stars = `Host ${"*a".repeat(10_000)}b\nHost ${"a".repeat(100_000)}\n`;
    expect(await refusal(stars)).toMatch(/too many Host patterns/);
    const began = performance.now();
    expect(matches("*a".repeat(200), "a".repeat(255))).toBe(true);
    expect(matches(`${"*a".repeat(100)}b`, "a".repeat(255))).toBe(false);
    expect(performance.now() - began).toBeLessThan(100);
  });

  test("2 MiB of one line, of brackets and of nul characters end in a sentence or in rows", async () => {
    for (const text of [
      "a".repeat(2e6),
      "[".repeat(2e6),
      "\0".repeat(2e6),
      `host\n${'"'.repeat(1e6)}`,
    ])
      await read(text).then(
        ({ rows }) => expect(rows.every(({ problems }) => problems.length > 0)).toBe(true),
        (error: unknown) => expect(error).toBeInstanceOf(ImportRefused),
      );
  });
});

test("a pattern matches as OpenSSH's do", () => {
  expect(matches("*", "")).toBe(true);
  expect(matches("gpu-?", "gpu-1")).toBe(true);
  expect(matches("gpu-?", "gpu-10")).toBe(false);
  expect(matches("*.lab.*", "a.lab.example")).toBe(true);
  expect(matches("a.b", "axb")).toBe(false);
  expect(matches("*a", "ba*a")).toBe(true);
});

test("a request holds what the row told, and the login of all", async () => {
  const { rows } = await read("name,host,port,gpu,count,price\ngpu-1,a.example,2222,H100,8,2.5\n");
  const [row] = rows;
  if (!row) throw new Error("one row");
  expect(requestOf(row, EMPTY)).toEqual({
    ...{ instance_id: "gpu-1", ssh_host: "a.example", ssh_port: 2222, ssh_user: "root" },
    ...{ login: "shared", gpu_name: "H100", gpu_count: 8, price_per_hour: 2.5, metadata: {} },
  });
});

test("no more than so many are at work at once, and stopping ends after those", async () => {
  let now = 0;
  let most = 0;
  let done = 0;
  const work = async () => {
    most = Math.max(most, ++now);
    await new Promise((resolve) => setTimeout(resolve, 1));
    now--;
    done++;
  };
  await atOnce([...Array(20).keys()], 4, work);
  expect([most, done]).toEqual([4, 20]);
  await atOnce([...Array(20).keys()], 4, work, () => done >= 24);
  expect(done).toBeLessThanOrEqual(27);
});
