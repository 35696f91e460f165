import { Button, Group, SimpleGrid, Text, Textarea, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { notifications } from "@mantine/notifications";
import { IconCircleCheck, IconPencil } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, asError, type Shapes, take } from "../../api/client";
import { profileQuery } from "../../api/queries";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { Section } from "../../parts/Section";
import { type Company, companyOf, FIELDS, faults, LONGEST, supplierOf } from "./supplier";

export function CompanySection({ supplier }: { supplier: Shapes["Supplier-Output"] | null }) {
  const queryClient = useQueryClient();
  const form = useForm<Company>({ initialValues: companyOf(supplier), validate: faults });
  const saving = useMutation({
    mutationFn: (company: Company) =>
      take(api.PUT("/v1/profile/supplier", { body: supplierOf(company) })),
    onSuccess: (saved) => {
      const company = companyOf(saved);
      form.setInitialValues(company);
      form.setValues(company);
      queryClient.setQueryData(profileQuery.queryKey, (old) => old && { ...old, supplier: saved });
      notifications.show({ message: "Company data saved.", color: "teal" });
    },
    onError: (error) => {
      const { problem } = asError(error);
      form.setErrors(
        Object.fromEntries((problem.errors ?? []).map((each) => [each.pointer, each.message])),
      );
    },
  });
  return (
    <Section title="Company" text="Who supplies the GPUs. It is never shown in the public listing.">
      <form onSubmit={form.onSubmit((company) => saving.mutate(company), focusFirst)} noValidate>
        <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="md">
          {FIELDS.map((field) => (
            <TextInput
              key={field.name}
              required
              maxLength={LONGEST[field.name]}
              {...field}
              {...form.getInputProps(field.name)}
            />
          ))}
          <Textarea
            name="business_address"
            label="Business address"
            autoComplete="street-address"
            required
            rows={3}
            maxLength={LONGEST.business_address}
            {...form.getInputProps("business_address")}
          />
          <Textarea
            name="infrastructure_description"
            label="Infrastructure"
            placeholder="Data centres, power, network, cooling (optional)"
            rows={3}
            maxLength={LONGEST.infrastructure_description}
            {...form.getInputProps("infrastructure_description")}
          />
        </SimpleGrid>
        {saving.error && (
          <div style={{ marginTop: "var(--mantine-spacing-md)" }}>
            <ProblemAlert error={saving.error} />
          </div>
        )}
        <Group mt="md" gap="md">
          <Button type="submit" loading={saving.isPending}>
            Save
          </Button>
          <Saved state={form.isDirty() ? "changed" : supplier ? "saved" : "none"} />
          {form.isDirty() && (
            <Button variant="subtle" color="gray" onClick={form.reset}>
              Discard changes
            </Button>
          )}
        </Group>
      </form>
    </Section>
  );
}

function Saved({ state }: { state: "changed" | "saved" | "none" }) {
  const Icon = state === "saved" ? IconCircleCheck : IconPencil;
  return (
    <Group gap={6} role="status" c="dimmed">
      {state !== "none" && <Icon size={16} aria-hidden />}
      <Text size="sm">
        {{ changed: "Not saved yet", saved: "Saved", none: "Not filled in yet" }[state]}
      </Text>
    </Group>
  );
}

function focusFirst(errors: Record<string, unknown>): void {
  const [first] = Object.keys(errors);
  document.querySelector<HTMLElement>(`main [name="${first}"]`)?.focus();
}
