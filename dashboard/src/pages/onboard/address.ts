/** Where a machine is reached; a form may hold anything until it is checked. */
export interface AddressText {
  ssh_host: string;
  ssh_port: number | string;
  ssh_user: string;
}

const HOST = /^[A-Za-z0-9_.:%\-[\]]+$/;
const USER = /^[A-Za-z0-9_.@+-]+\$?$/;
const LONGEST_HOST = 255;
const LONGEST_USER = 64;
const LAST_PORT = 65_535;

export function hostFault(host: string): string | null {
  const told = host.trim();
  if (!told) return "A host name or an IP address.";
  if (told.length > LONGEST_HOST) return `At most ${LONGEST_HOST} characters.`;
  return HOST.test(told) ? null : "Only the host name or IP address, such as 203.0.113.7.";
}

export function portFault(port: number | string): string | null {
  const told = Number(port);
  const isPort = String(port).trim() !== "" && Number.isInteger(told);
  return isPort && told >= 1 && told <= LAST_PORT ? null : "A whole number from 1 to 65535.";
}

export function userFault(user: string): string | null {
  const told = user.trim();
  if (!told) return "The user to log in as, mostly root.";
  if (told.length > LONGEST_USER) return `At most ${LONGEST_USER} characters.`;
  return USER.test(told) ? null : "Letters, digits and . _ @ + - only.";
}

/**
 * The parts of an address as providers print it: `ssh -p 41022 root@ssh5.example.com -L …`, `root@host:2222`.
 * Null where the text is no more than a host.
 */
export function readAddress(text: string): Partial<AddressText> | null {
  const words = text.trim().slice(0, 1000).split(/\s+/);
  if (words[0] === "ssh") words.shift();
  let port: string | undefined;
  let user: string | undefined;
  let target: string | undefined;
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    const option = /^-([A-Za-z])(.*)$/.exec(word);
    if (option) {
      const [, letter = "", glued = ""] = option;
      if (!TAKES_VALUE.includes(letter)) continue;
      const value = glued || words[++at];
      if (letter === "p") port = value;
      if (letter === "l") user = value;
    } else target ??= word;
  }
  const found = takeApart(target ?? "");
  port ??= found.port;
  user ??= found.user;
  if (!found.host || !(port || user)) return null;
  return {
    ssh_host: found.host,
    ...(port ? { ssh_port: Number(port) || port } : {}),
    ...(user ? { ssh_user: user } : {}),
  };
}

/** `user@host:port`; more than one colon outside of brackets is an IPv6 address without a port. */
function takeApart(target: string): { host: string; port?: string; user?: string } {
  const bare = target.replace(/^ssh:\/\//, "").replace(/\/$/, "");
  const at = bare.lastIndexOf("@");
  const user = at > 0 ? { user: bare.slice(0, at) } : {};
  const place = bare.slice(at + 1);
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(place);
  const named = /^([^:]+):(\d+)$/.exec(place);
  const [, host = place, port] = bracketed ?? named ?? [];
  return { host, ...user, ...(port ? { port } : {}) };
}

/** Options of ssh that are followed by a value. */
const TAKES_VALUE = "BbcDEeFIiJLlmOoPpQRSWw";
