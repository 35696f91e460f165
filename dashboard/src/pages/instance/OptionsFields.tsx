import { Checkbox, NumberInput, Select, SimpleGrid, Stack } from "@mantine/core";
import type { ProblemError } from "../../api/client";
import type { Options } from "./instanceQueries";
import { PROFILES } from "./options";

interface Props {
  options: Options;
  onChange: (options: Options) => void;
  /** A refusal, shown at the field it names. */
  error?: ProblemError | undefined;
  /** Where the options stand in the request: `options.` in a schedule. */
  prefix?: string;
}

const PRECISIONS = [
  { value: "auto", label: "Automatic (the fastest)" },
  { value: "fp32", label: "fp32" },
  { value: "tf32", label: "TF32" },
  { value: "amp-bf16", label: "bfloat16 (autocast)" },
  { value: "amp-fp16", label: "float16 (autocast)" },
];
const MODES = [
  { value: "auto", label: "Automatic (CUDA graph)" },
  { value: "eager", label: "Eager" },
  { value: "cuda-graph", label: "CUDA graph" },
  { value: "compiled", label: "Compiled (torch.compile)" },
];
const DEVICES = [
  { value: "auto", label: "Automatic (CUDA, else CPU)" },
  { value: "cuda", label: "CUDA" },
  { value: "cpu", label: "CPU" },
];

/** What a test measures, and under which conditions. */
export function OptionsFields({ options, onChange, error, prefix = "" }: Props) {
  const set = (change: Partial<Options>) => onChange({ ...options, ...change });
  const at = (name: keyof Options) => error?.at(prefix + name);
  const choice = (name: "precision" | "mode" | "device", label: string, data: typeof MODES) => (
    <Select
      label={label}
      data={data}
      allowDeselect={false}
      value={options[name]}
      onChange={(value) => value && set({ [name]: value } as Partial<Options>)}
      error={at(name)}
    />
  );
  const count = (name: "batch_size" | "image_size" | "num_epochs", label: string, text: string) => (
    <NumberInput
      label={label}
      description={text}
      required
      withAsterisk={false}
      allowDecimal={false}
      thousandSeparator=","
      {...BOUNDS[name]}
      value={options[name]}
      onChange={(value) => typeof value === "number" && set({ [name]: value })}
      error={at(name)}
    />
  );
  return (
    <Stack gap="sm">
      <Select
        label="Profile"
        description={PROFILES.find((profile) => profile.value === options.profile)?.text}
        data={PROFILES.map(({ value, label }) => ({ value, label }))}
        allowDeselect={false}
        value={options.profile}
        onChange={(value) => value && set({ profile: value })}
        error={at("profile")}
      />
      <SimpleGrid cols={{ base: 1, xs: 3 }} spacing="sm" verticalSpacing="sm">
        {count("batch_size", "Batch size", "Images a step")}
        {count("image_size", "Image size", "Pixels a side")}
        {count("num_epochs", "Epochs", "1,000 images each")}
      </SimpleGrid>
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm" verticalSpacing="sm">
        {choice("precision", "Precision", PRECISIONS)}
        {choice("mode", "Mode", MODES)}
        {choice("device", "Device", DEVICES)}
        <NumberInput
          label="Time for the training"
          placeholder="By the profile"
          suffix=" s"
          min={1}
          max={3600}
          value={options.budget_seconds ?? ""}
          onChange={(value) => set({ budget_seconds: typeof value === "number" ? value : null })}
          error={at("budget_seconds")}
        />
      </SimpleGrid>
      <Checkbox
        label="Channels last"
        description="Images as NHWC in memory, which tensor cores prefer"
        checked={options.channels_last}
        onChange={(event) => set({ channels_last: event.currentTarget.checked })}
      />
    </Stack>
  );
}

const BOUNDS = {
  batch_size: { min: 1, max: 8192 },
  image_size: { min: 32, max: 1024 },
  num_epochs: { min: 1, max: 1000 },
};
