import type { Options } from "./instanceQueries";

/** The API's own defaults, those of the guide. */
export const DEFAULT_OPTIONS: Options = {
  batch_size: 32,
  num_epochs: 1,
  image_size: 224,
  device: "auto",
  precision: "auto",
  channels_last: true,
  mode: "auto",
  profile: "quick",
  budget_seconds: null,
};

export const PROFILES: { value: Options["profile"]; label: string; text: string }[] = [
  {
    value: "quick",
    label: "Quick",
    text: "Training, inference and kernels; about a minute.",
  },
  {
    value: "standard",
    label: "Standard",
    text: "Also other precisions, each GPU alone, disk and the best batch size; some minutes.",
  },
  {
    value: "full",
    label: "Full",
    text: "Everything, longer, with compiled training and traffic between GPUs; ten minutes and more.",
  },
  {
    value: "soak",
    label: "Soak",
    text: "Training for 10 minutes, hot against cold: does the cooling hold?",
  },
];

/** What differs from the defaults, in words: `standard, batch 64`. */
export function told(options: Options): string {
  const parts: string[] = [options.profile];
  if (options.batch_size !== DEFAULT_OPTIONS.batch_size) parts.push(`batch ${options.batch_size}`);
  if (options.image_size !== DEFAULT_OPTIONS.image_size) parts.push(`${options.image_size} px`);
  if (options.num_epochs !== DEFAULT_OPTIONS.num_epochs) parts.push(`${options.num_epochs} epochs`);
  for (const name of ["precision", "mode", "device"] as const)
    if (options[name] !== "auto") parts.push(options[name]);
  if (!options.channels_last) parts.push("channels first");
  if (options.budget_seconds) parts.push(`at most ${options.budget_seconds} s`);
  return parts.join(", ");
}
