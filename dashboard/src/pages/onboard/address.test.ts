import { describe, expect, test } from "vitest";
import { hostFault, portFault, readAddress, userFault } from "./address";

describe("an address that is pasted in one piece", () => {
  test.each([
    [
      "ssh -p 41022 root@ssh5.vast.example -L 8080:localhost:8080",
      { ssh_host: "ssh5.vast.example", ssh_port: 41022, ssh_user: "root" },
    ],
    ["ubuntu@203.0.113.7", { ssh_host: "203.0.113.7", ssh_user: "ubuntu" }],
    ["gpu.example:2222", { ssh_host: "gpu.example", ssh_port: 2222 }],
    ["root@[2001:db8::1]:2200", { ssh_host: "2001:db8::1", ssh_port: 2200, ssh_user: "root" }],
    ["root@2001:db8::1", { ssh_host: "2001:db8::1", ssh_user: "root" }],
    ["ssh://me@gpu.example:22/", { ssh_host: "gpu.example", ssh_port: 22, ssh_user: "me" }],
    [
      "ssh gpu.example -l me -p2222 -i ~/.ssh/id",
      { ssh_host: "gpu.example", ssh_port: 2222, ssh_user: "me" },
    ],
  ])("%s falls into its fields", (text, fields) => {
    expect(readAddress(text)).toEqual(fields);
  });

  test.each(["gpu.example", "203.0.113.7", "2001:db8::1", "", "   ", "ssh", "-p 22"])(
    "%j is no more than a host, or nothing",
    (text) => {
      expect(readAddress(text)).toBeNull();
    },
  );
});

test("a host is a name or an address and nothing else", () => {
  expect(hostFault("203.0.113.7")).toBeNull();
  expect(hostFault("2001:db8::1")).toBeNull();
  expect(hostFault(" ")).not.toBeNull();
  expect(hostFault("https://gpu.example/")).not.toBeNull();
  expect(hostFault("a".repeat(256))).not.toBeNull();
});

test("a port is a whole number from 1 to 65535", () => {
  for (const port of [1, 22, "2222", 65535]) expect(portFault(port)).toBeNull();
  for (const port of [0, 65536, "", " ", "ssh", 22.5, -1, Number.NaN])
    expect(portFault(port)).not.toBeNull();
});

test("a user is one that a login can have", () => {
  for (const user of ["root", "gpu-1", "svc_x.y", "machine$"]) expect(userFault(user)).toBeNull();
  for (const user of ["", "a b", "root;id", "$(id)", "x".repeat(65)])
    expect(userFault(user)).not.toBeNull();
});
