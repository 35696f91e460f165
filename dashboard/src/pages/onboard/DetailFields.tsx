import { JsonInput, NumberInput, SimpleGrid, TextInput } from "@mantine/core";
import type { UseFormReturnType } from "@mantine/form";
import type { OnboardForm } from "./form";

type Name = keyof OnboardForm;

/** What is claimed of the machine; a test measures it and says where it differs. */
export function DetailFields({ form }: { form: UseFormReturnType<OnboardForm> }) {
  const line = (name: Name, label: string, placeholder?: string) => (
    <TextInput
      label={label}
      placeholder={placeholder}
      maxLength={200}
      autoComplete="off"
      {...form.getInputProps(name)}
      name={name}
    />
  );
  const amount = (name: Name, label: string, bounds: Bounds) => (
    <NumberInput
      label={label}
      hideControls
      allowNegative={false}
      thousandSeparator=","
      {...bounds}
      {...form.getInputProps(name)}
      name={name}
    />
  );
  return (
    <>
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="md" verticalSpacing="sm">
        {line("gpu_name", "GPU name", "NVIDIA H100, or CPU")}
        {amount("gpu_count", "GPU count", { allowDecimal: false, max: 1024 })}
        {line("cuda_version", "CUDA version", "13.0")}
        {amount("cpu_count", "CPUs", { allowDecimal: false, min: 1, max: 100_000 })}
        {amount("disk_space_gb", "Disk", { suffix: " GiB", max: 10_000_000 })}
        {amount("price_per_hour", "Price per hour", { prefix: "$", max: 1_000_000 })}
        {line("provider", "Provider", "vast.ai")}
        {line("location", "Location", "Frankfurt, DE")}
        {line("offer_id", "Offer id")}
        {line("machine_id", "Machine id")}
      </SimpleGrid>
      <JsonInput
        label="Metadata"
        description="A JSON object of your own; it is kept as it is"
        placeholder='{"rack": "B4"}'
        autosize
        minRows={2}
        maxRows={8}
        styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
        {...form.getInputProps("metadata")}
        name="metadata"
      />
    </>
  );
}

interface Bounds {
  allowDecimal?: boolean;
  min?: number;
  max: number;
  prefix?: string;
  suffix?: string;
}
