import { describe, expect, test } from "vitest";
import { EMPTY, faults, measured, toCheck, toRequest } from "./form";

const KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----";
const FORM = { ...EMPTY, instance_id: " gpu-1 ", ssh_host: "gpu.example " };

describe("what is sent", () => {
  test("leaves out what is not known", () => {
    const request = toRequest({ ...FORM, gpu_name: "  ", price_per_hour: "" }, null);
    expect(request).toMatchObject({
      instance_id: "gpu-1",
      ssh_host: "gpu.example",
      login: "shared",
      gpu_name: null,
      price_per_hour: null,
      metadata: {},
      connection_check_id: null,
    });
  });

  test("keeps a count of zero", () => {
    expect(toRequest({ ...FORM, gpu_count: 0 }, null).gpu_count).toBe(0);
  });

  test("holds no key where ours is used, also if one was pasted before", () => {
    const form = { ...FORM, ssh_key: KEY, ssh_key_passphrase: "secret" };
    expect(JSON.stringify([toCheck(form), toRequest(form, null)])).not.toMatch(/abc|secret/);
    expect(toCheck({ ...form, login: "own" }).ssh_key).toBe(`${KEY}\n`);
  });
});

describe("faults", () => {
  test("an empty form is told at the fields that are needed", () => {
    expect(Object.keys(faults(EMPTY)).sort()).toEqual(["instance_id", "ssh_host"]);
    expect(faults(FORM)).toEqual({});
  });

  test("a public key is not taken for a private one", () => {
    const form = { ...FORM, login: "own" as const };
    expect(faults({ ...form, ssh_key: "ssh-ed25519 AAAAC3 me@home" }).ssh_key).toMatch(
      /public key/,
    );
    expect(faults({ ...form, ssh_key: "hello" }).ssh_key).toBeDefined();
    expect(faults({ ...form, ssh_key: KEY }).ssh_key).toBeUndefined();
  });

  test.each(["[1]", "3", "null", "{", '"x"'])("metadata of %s is no object", (metadata) => {
    expect(faults({ ...FORM, metadata }).metadata).toBeDefined();
  });
});

describe("what a look at the machine suggests", () => {
  const probe = {
    gpu_name: "NVIDIA H100",
    gpu_count: 2,
    cuda_version: "13.0",
    cpu_count: 192,
    disk_space_gb: 1900.7,
  } as Parameters<typeof measured>[1];

  test("fills what is empty and leaves what was written", () => {
    expect(measured({ ...FORM, gpu_name: "H100 PCIe" }, probe)).toEqual({
      gpu_count: 2,
      cuda_version: "13.0",
      cpu_count: 192,
      disk_space_gb: 1900,
    });
  });

  test("is the GPU name CPU where there is no GPU", () => {
    const bare = { ...probe, gpu_name: null, gpu_count: 0, cuda_version: null };
    expect(measured(FORM, bare)).toMatchObject({ gpu_name: "CPU" });
    expect(measured(FORM, bare)).not.toHaveProperty("gpu_count");
  });
});
