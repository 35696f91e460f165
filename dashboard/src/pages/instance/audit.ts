import { shortened, UNKNOWN } from "../../parts/format";
import type { AuditEntry } from "./instanceQueries";

export interface AuditLine {
  who: string;
  what: string;
  /** The details are what changed, not what there is. */
  isChange: boolean;
  changes: string[];
}

const SUBJECTS: Record<string, string> = {
  gpu_instances: "Instance",
  gpu_test_runs: "Run",
  gpu_test_schedules: "Schedule",
  gpu_credentials: "Login key",
  gpu_inventory: "Inventory item",
};
const DEEDS: Record<string, string> = { insert: "added", update: "changed", delete: "removed" };
const WHOLE: Record<string, string> = {
  "gpu_instances.insert": "Onboarded",
  "gpu_instances.delete": "Instance deleted",
  "gpu_test_runs.insert": "Test asked for",
  "instance.login": "Logged in to the machine",
};
const NAMES: Record<string, string> = {
  ssh_host: "SSH host",
  ssh_port: "SSH port",
  ssh_user: "SSH user",
  price_per_hour: "price per hour",
  host_key: "host key",
  host_key_offered: "host key on offer",
  cancel_requested_at: "cancel asked for",
  every_hours: "hours between tests",
  cron: "cron line",
  timezone: "time zone",
  jitter_seconds: "jitter in seconds",
  misfire: "after missed times",
  vast_instance_id: "name",
  gpu_name: "GPU",
  gpu_count: "GPUs",
  gpu_model: "GPU model",
  item_status: "status",
};
/** Of an added or removed row: what tells it apart. Of what stands here nothing else is worth a line. */
const TELLING: Record<string, string[]> = {
  gpu_instances: ["vast_instance_id", "ssh_host", "ssh_port", "ssh_user", "gpu_name", "gpu_count"],
  gpu_test_runs: ["requested_by", "options"],
  gpu_test_schedules: [
    "every_hours",
    "cron",
    "timezone",
    "jitter_seconds",
    "misfire",
    "enabled",
    "options",
  ],
  gpu_credentials: ["kind", "fingerprint", "public_key"],
  gpu_inventory: ["gpu_model", "quantity", "item_status"],
};
/** Ids of ours say nothing to people. */
const UNSAID = new Set(["run_id", "instance_id", "gpu_inventory_id", "schedule_id", "check"]);
const LONGEST = 60;

export function auditLine(entry: AuditEntry): AuditLine {
  const [table = "", deed = ""] = entry.action.split(".");
  const telling = deed === "update" ? undefined : TELLING[table];
  const told = Object.entries(entry.detail).filter(
    ([name, value]) => (telling ? telling.includes(name) : !UNSAID.has(name)) && !isEmpty(value),
  );
  const changes =
    deed === "update"
      ? told.map(([name, value]) => `${nameOf(name)}: ${changeOf(value)}`)
      : told.map(([name, value]) => `${nameOf(name)} ${short(value)}`);
  return {
    isChange: deed === "update",
    who: whoOf(entry.actor),
    what: whatOf(entry.action, table, deed, entry.detail),
    changes,
  };
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function whatOf(action: string, table: string, deed: string, detail: AuditEntry["detail"]): string {
  if (action === "gpu_test_runs.update" && "cancel_requested_at" in detail)
    return "Cancelling asked for";
  if (action === "gpu_instances.update" && "host_key" in detail) return "Host key pinned";
  if (action === "gpu_instances.update" && "host_key_offered" in detail)
    return "Another host key seen";
  const subject = SUBJECTS[table] ?? table.replaceAll("_", " ");
  return WHOLE[action] ?? `${subject} ${DEEDS[deed] ?? deed}`;
}

function whoOf(actor: string): string {
  if (actor === "session") return "You, signed in";
  if (actor === "cli") return "The operator's command line";
  if (actor === "worker") return "Harborx";
  return actor.startsWith("api_key ") ? `API key ${actor.slice("api_key ".length)}` : actor;
}

function nameOf(name: string): string {
  return NAMES[name] ?? name.replaceAll("_", " ");
}

function changeOf(value: unknown): string {
  return Array.isArray(value) && value.length === 2
    ? `${short(value[0])} → ${short(value[1])}`
    : short(value);
}

function short(value: unknown): string {
  if (value === null || value === undefined || value === "") return UNKNOWN;
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return shortened(text, LONGEST);
}
