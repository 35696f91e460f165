import { expect, it } from "vitest";
import { auditLine } from "./audit";
import type { AuditEntry } from "./instanceQueries";

const entry = (action: string, detail: AuditEntry["detail"], actor = "session"): AuditEntry => ({
  id: 1,
  at: "2026-11-25T03:00:00Z",
  actor,
  action,
  subject_id: null,
  instance_id: null,
  detail,
});

it("tells a change with its value before and after", () => {
  expect(
    auditLine(
      entry("gpu_instances.update", { price_per_hour: [null, 2.5], location: ["Oslo", "Bergen"] }),
    ),
  ).toEqual({
    who: "You, signed in",
    what: "Instance changed",
    isChange: true,
    changes: ["price per hour: – → 2.5", "location: Oslo → Bergen"],
  });
});

it("names what matters most of a change", () => {
  expect(auditLine(entry("gpu_test_runs.update", { cancel_requested_at: [null, "x"] })).what).toBe(
    "Cancelling asked for",
  );
  expect(auditLine(entry("gpu_instances.update", { host_key_offered: [null, "x"] })).what).toBe(
    "Another host key seen",
  );
});

it("tells who it was, and a login with its address", () => {
  const line = auditLine(
    entry(
      "instance.login",
      { run_id: "r", address: "root@h:22", fingerprint: "SHA256:x" },
      "worker",
    ),
  );
  expect(line.who).toBe("Harborx");
  expect(line.what).toBe("Logged in to the machine");
  expect(line.changes).toEqual(["address root@h:22", "fingerprint SHA256:x"]);
  expect(auditLine(entry("gpu_test_schedules.delete", {}, "api_key k1")).who).toBe("API key k1");
});

it("shows what it does not know as it is", () => {
  expect(auditLine(entry("some_thing.merge", {})).what).toBe("some thing merge");
});
