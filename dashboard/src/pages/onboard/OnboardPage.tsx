import { Button, Group, Stack, Text } from "@mantine/core";
import { type UseFormReturnType, useForm } from "@mantine/form";
import { notifications } from "@mantine/notifications";
import { LinkButton } from "../../parts/Links";
import { PageTitle } from "../../parts/PageTitle";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { Section } from "../../parts/Section";
import { CheckPanel } from "./CheckPanel";
import { DetailFields } from "./DetailFields";
import {
  addressFaults,
  EMPTY,
  faults,
  keyFault,
  measured,
  type OnboardForm,
  toCheck,
  toRequest,
} from "./form";
import { LoginFields } from "./LoginFields";
import { MachineFields } from "./MachineFields";
import classes from "./OnboardPage.module.css";
import { atFields } from "./refusal";
import { type ConnectionCheck, useConnectionCheck } from "./useConnectionCheck";
import { useOnboarding } from "./useOnboarding";

const FIELDS = Object.keys(EMPTY);

export function OnboardPage() {
  return (
    <>
      <PageTitle
        title="Onboard GPU Instance"
        text="Put a machine on record, so that it can be tested. All it needs is sshd and Python."
        actions={
          <>
            <LinkButton to="/connection" variant="subtle">
              Connection setup
            </LinkButton>
            <LinkButton to="/instances/import" variant="default">
              Import many
            </LinkButton>
          </>
        }
      />
      <OnboardingForm />
    </>
  );
}

function OnboardingForm() {
  const form = useForm<OnboardForm>({ initialValues: EMPTY, validate: faults });
  const connection = useConnectionCheck(toCheck(form.values));
  const onboarding = useOnboarding((error) => {
    const placed = atFields(error, FIELDS);
    form.setErrors(placed);
    focusFirst(placed);
  });
  const placed = Object.keys(form.errors).length > 0;
  const check = () => {
    const key = keyFault(form.values);
    const found = { ...addressFaults(form.values), ...(key ? { ssh_key: key } : {}) };
    form.setErrors(found);
    if (Object.keys(found).length > 0) focusFirst(found);
    else connection.start();
  };
  return (
    <form
      className={classes.layout}
      onSubmit={form.onSubmit(
        (values) => onboarding.mutate(toRequest(values, connection.passedId)),
        focusFirst,
      )}
      noValidate
    >
      <Section title="Machine">
        <MachineFields form={form} />
      </Section>
      <Section title="Login">
        <LoginFields
          value={form.values}
          onChange={(change) => form.setValues(change)}
          errors={form.errors}
        />
      </Section>
      <div className={classes.check}>
        <CheckPanel connection={connection} onCheck={check} onUse={suggestion(form, connection)} />
      </div>
      <Section
        title="Details"
        text="Optional. What is claimed here is held against what a test measures."
      >
        <DetailFields form={form} />
      </Section>
      <Stack gap="sm">
        {onboarding.error && !placed && <ProblemAlert error={onboarding.error} />}
        <Submit connection={connection} pending={onboarding.isPending} />
      </Stack>
    </form>
  );
}

/** Writes what a check found into the details that are still empty; undefined where there is nothing to write. */
function suggestion(form: UseFormReturnType<OnboardForm>, { check }: ConnectionCheck) {
  if (!check?.probe) return undefined;
  const found = measured(form.values, check.probe);
  if (Object.keys(found).length === 0) return undefined;
  return () => {
    form.setValues(found);
    notifications.show({ message: "The details are filled in from the check.", color: "teal" });
  };
}

function Submit({ connection, pending }: { connection: ConnectionCheck; pending: boolean }) {
  return (
    <Group gap="md">
      <Button type="submit" loading={pending}>
        Onboard
      </Button>
      <Text size="sm" c="dimmed" style={{ flex: "1 1 240px" }}>
        {connection.passedId
          ? "The check passed. We log in only to a machine that shows this host key."
          : "It was not checked: the first test will tell whether we can log in, and takes the host key that it meets then."}
      </Text>
    </Group>
  );
}

function focusFirst(errors: Record<string, unknown>): void {
  const first = FIELDS.find((field) => errors[field]);
  document.querySelector<HTMLElement>(`main [name="${first}"]`)?.focus();
}
