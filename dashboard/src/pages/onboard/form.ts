import type { Shapes } from "../../api/client";
import { type AddressText, hostFault, portFault, userFault } from "./address";

export type OnboardRequest = Shapes["OnboardRequest"];
export type CheckRequest = Shapes["CheckRequest"];

/** Our key for all of this supplier's machines, a certificate of our user CA, or a key that is pasted. */
export const LOGINS = ["shared", "certificate", "own"] as const;

export interface LoginForm {
  login: (typeof LOGINS)[number];
  ssh_key: string;
  ssh_key_passphrase: string;
}

export interface OnboardForm extends AddressText, LoginForm {
  instance_id: string;
  offer_id: string;
  machine_id: string;
  provider: string;
  location: string;
  price_per_hour: number | string;
  gpu_name: string;
  gpu_count: number | string;
  cuda_version: string;
  disk_space_gb: number | string;
  cpu_count: number | string;
  metadata: string;
}

export const NO_LOGIN: LoginForm = { login: "shared", ssh_key: "", ssh_key_passphrase: "" };

export const EMPTY: OnboardForm = {
  ...NO_LOGIN,
  instance_id: "",
  ssh_host: "",
  ssh_port: 22,
  ssh_user: "root",
  offer_id: "",
  machine_id: "",
  provider: "",
  location: "",
  price_per_hour: "",
  gpu_name: "",
  gpu_count: "",
  cuda_version: "",
  disk_space_gb: "",
  cpu_count: "",
  metadata: "",
};

const LONGEST_LINE = 200;
const LONGEST_KEY = 32_768;

/** By field what is wrong with it; the server asks the same and has the last word. */
export function faults(form: OnboardForm): Partial<Record<keyof OnboardForm, string>> {
  return present({
    instance_id: nameFault(form.instance_id),
    ...addressFaults(form),
    ssh_key: keyFault(form),
    metadata: metadataFault(form.metadata),
  });
}

export function addressFaults(form: AddressText): Partial<Record<keyof AddressText, string>> {
  return present({
    ssh_host: hostFault(form.ssh_host),
    ssh_port: portFault(form.ssh_port),
    ssh_user: userFault(form.ssh_user),
  });
}

export function nameFault(name: string): string | null {
  if (!name.trim()) return "It needs an id.";
  return name.trim().length > LONGEST_LINE ? `At most ${LONGEST_LINE} characters.` : null;
}

export function keyFault({ login, ssh_key }: LoginForm): string | null {
  if (login !== "own") return null;
  const key = ssh_key.trim();
  if (!key) return "Paste the private key, or let us use ours.";
  if (key.length > LONGEST_KEY) return "This is longer than any private key (32 KiB).";
  if (/^(ssh-|ecdsa-|sk-)/.test(key))
    return "This is the public key; the private key is the other file.";
  return key.includes("PRIVATE KEY-----")
    ? null
    : "A private key begins with -----BEGIN … PRIVATE KEY-----.";
}

function metadataFault(text: string): string | null {
  if (!text.trim()) return null;
  try {
    return isObject(JSON.parse(text)) ? null : 'A JSON object, such as {"rack": "B4"}.';
  } catch (error) {
    return `No valid JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
}

export function toCheck(form: AddressText & LoginForm): CheckRequest {
  return {
    ssh_host: form.ssh_host.trim(),
    ssh_port: Number(form.ssh_port),
    ssh_user: form.ssh_user.trim(),
    login: form.login === "certificate" ? "certificate" : "key",
    ...ownKey(form),
  };
}

/** What is left empty is not sent: the server has its defaults, and unknown is not zero. */
export function toRequest(form: OnboardForm, checkId: string | null): OnboardRequest {
  const text = (value: string) => value.trim() || null;
  const amount = (value: number | string) => (value === "" ? null : Number(value));
  return {
    ...toCheck(form),
    login: form.login,
    instance_id: form.instance_id.trim(),
    offer_id: text(form.offer_id),
    machine_id: text(form.machine_id),
    provider: text(form.provider),
    location: text(form.location),
    price_per_hour: amount(form.price_per_hour),
    gpu_name: text(form.gpu_name),
    gpu_count: amount(form.gpu_count),
    cuda_version: text(form.cuda_version),
    disk_space_gb: amount(form.disk_space_gb),
    cpu_count: amount(form.cpu_count),
    metadata: form.metadata.trim() ? JSON.parse(form.metadata) : {},
    connection_check_id: checkId,
  };
}

/** The part of a request that says how to log in. */
export function ownKey({
  login,
  ssh_key,
  ssh_key_passphrase,
}: LoginForm): Pick<CheckRequest, "ssh_key" | "ssh_key_passphrase"> {
  return login === "own"
    ? { ssh_key: `${ssh_key.trim()}\n`, ssh_key_passphrase: ssh_key_passphrase || null }
    : {};
}

/** The claims that a look at the machine suggests, for fields that are still empty. */
export function measured(
  form: OnboardForm,
  probe: NonNullable<Shapes["CheckShape"]["probe"]>,
): Partial<OnboardForm> {
  const hasGpu = Boolean(probe.gpu_count);
  const found: Partial<OnboardForm> = {
    gpu_name: hasGpu ? (probe.gpu_name ?? "") : "CPU",
    gpu_count: hasGpu ? (probe.gpu_count ?? "") : "",
    cuda_version: probe.cuda_version ?? "",
    cpu_count: probe.cpu_count ?? "",
    disk_space_gb: probe.disk_space_gb === null ? "" : Math.floor(probe.disk_space_gb),
  };
  return Object.fromEntries(
    Object.entries(found).filter(
      ([name, value]) => value !== "" && form[name as keyof OnboardForm] === "",
    ),
  );
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function present<Field extends string>(
  told: Partial<Record<Field, string | null>>,
): Partial<Record<Field, string>> {
  return Object.fromEntries(Object.entries(told).filter(([, fault]) => fault !== null)) as Partial<
    Record<Field, string>
  >;
}
