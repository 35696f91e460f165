import { Button, Checkbox, Group, Select, Stack, TextInput } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, asError, type Shapes, take } from "../../api/client";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { KeyDialog } from "./KeyDialog";
import { keysQuery } from "./keysQuery";

type Scope = NonNullable<Shapes["NewKey"]["scopes"]>[number];

const SCOPES: { value: Scope; label: string; text: string }[] = [
  { value: "read", label: "read", text: "See instances, runs, results and the profile." },
  { value: "test", label: "test", text: "Onboard and change instances, start and cancel tests." },
  { value: "submit", label: "submit", text: "Submit results of an agent that was run by hand." },
];

const FOR_EVER = "never";
const LIFETIMES = [
  { value: "30", label: "in 30 days" },
  { value: "90", label: "in 90 days" },
  { value: "365", label: "in a year" },
  { value: FOR_EVER, label: "never" },
];

interface Wanted {
  name: string;
  scopes: Scope[];
  lifetime: string;
}

/** A key with the rights that are asked for. */
export function NewKey({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  const queryClient = useQueryClient();
  const making = useMutation({
    mutationFn: ({ name, scopes, lifetime }: Wanted) =>
      take(
        api.POST("/v1/api-keys", {
          body: {
            name: name.trim(),
            scopes,
            expires_in_days: lifetime === FOR_EVER ? null : Number(lifetime),
          },
        }),
      ),
    onSuccess: () => queryClient.invalidateQueries(keysQuery),
  });
  const close = () => {
    making.reset(); // the key is kept nowhere in the page
    onClose();
  };
  return (
    <KeyDialog
      title="New API key"
      opened={opened}
      onClose={close}
      made={making.data?.key}
      example={(key) => `curl -H "x-api-key: ${key}" ${window.location.origin}/v1/instances`}
    >
      <KeyForm
        onSubmit={making.mutate}
        onClose={close}
        isPending={making.isPending}
        error={making.error}
      />
    </KeyDialog>
  );
}

interface FormProps {
  onSubmit: (wanted: Wanted) => void;
  onClose: () => void;
  isPending: boolean;
  error: unknown;
}

function KeyForm({ onSubmit, onClose, isPending, error }: FormProps) {
  const form = useForm<Wanted>({
    initialValues: { name: "", scopes: ["read"], lifetime: "90" },
    validate: {
      name: (name) => (name.trim() ? null : "What the key is for."),
      scopes: (scopes) => (scopes.length > 0 ? null : "At least one."),
    },
  });
  const refused = error ? asError(error).at("name") : undefined;
  return (
    <form onSubmit={form.onSubmit(onSubmit)} noValidate>
      <Stack>
        <TextInput
          label="Name"
          description="What will use it, as you would look for it later."
          placeholder="nightly report"
          required
          maxLength={100}
          data-autofocus
          {...form.getInputProps("name")}
          error={form.errors.name ?? refused}
        />
        <Checkbox.Group label="It may" required {...form.getInputProps("scopes")}>
          <Stack gap="xs" mt={6}>
            {SCOPES.map(({ value, label, text }) => (
              <Checkbox key={value} value={value} label={label} description={text} />
            ))}
          </Stack>
        </Checkbox.Group>
        <Select
          label="It expires"
          data={LIFETIMES}
          allowDeselect={false}
          comboboxProps={{ withinPortal: true }}
          {...form.getInputProps("lifetime")}
        />
        {error && !refused ? <ProblemAlert error={error} /> : null}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={isPending}>
            Make the key
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
