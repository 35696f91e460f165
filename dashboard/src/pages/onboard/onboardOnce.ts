import { api, newKey, type Shapes, take } from "../../api/client";
import type { OnboardRequest } from "./form";

export type Onboarded = Shapes["OnboardAnswer"];

/** Keys of requests whose answer never came, by what was asked: sent again, they onboard no second time. */
const unanswered = new Map<string, string>();

/** Onboards a machine. Whoever asks the same again after a lost answer is told what became of the first. */
export async function onboardOnce(request: OnboardRequest): Promise<Onboarded> {
  const asked = await digest(request);
  const key = unanswered.get(asked) ?? newKey();
  unanswered.set(asked, key);
  const answer = await take(
    api.POST("/functions/v1/onboard-gpu", {
      params: { header: { "Idempotency-Key": key } },
      body: request,
    }),
  );
  unanswered.delete(asked);
  return answer;
}

/** Stands for a request without holding its private key. */
async function digest(request: OnboardRequest): Promise<string> {
  const text = JSON.stringify(request);
  // Browsers lend out SHA-256 on https and on this machine only; elsewhere a key of ours is for one try.
  if (!crypto.subtle) return newKey();
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
