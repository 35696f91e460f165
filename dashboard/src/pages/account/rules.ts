/** What a login must look like; the server asks the same and has the last word. */

const SHORTEST_PASSWORD = 10;

export const PASSWORD_HINT = `At least ${SHORTEST_PASSWORD} characters.`;

export function addressFault(address: string): string | null {
  return /^[^@\s]+@[^@\s]+$/.test(address) ? null : "An address like name@example.com.";
}

export function passwordFault(password: string): string | null {
  return password.length >= SHORTEST_PASSWORD ? null : PASSWORD_HINT;
}
