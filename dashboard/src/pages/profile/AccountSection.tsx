import { Button, PasswordInput, SimpleGrid, Stack } from "@mantine/core";
import { useForm } from "@mantine/form";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, asError, type ProblemError, type Shapes, take } from "../../api/client";
import { Facts } from "../../parts/Facts";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { Section } from "../../parts/Section";
import { Time } from "../../parts/Time";
import { PASSWORD_HINT, passwordFault } from "../account/rules";
import { SESSIONS } from "./SessionsSection";

const EMPTY = { current: "", fresh: "", again: "" };

export function AccountSection({ profile }: { profile: Shapes["ProfileShape"] }) {
  return (
    <Section
      title="Account"
      text="A new password signs you out everywhere else; here you stay signed in."
    >
      <Facts
        facts={[
          ["E-mail address", profile.email],
          ["Account since", <Time key="since" at={profile.created_at} />],
        ]}
      />
      <PasswordForm email={profile.email} />
    </Section>
  );
}

function PasswordForm({ email }: { email: string }) {
  const queryClient = useQueryClient();
  const form = useForm({
    initialValues: EMPTY,
    validate: {
      current: (value) => (value ? null : "The password you have now."),
      fresh: passwordFault,
      again: (value, all) => (value === all.fresh ? null : "Not the same as the new password."),
    },
  });
  const changing = useMutation({
    mutationFn: ({ current, fresh }: typeof EMPTY) =>
      take(
        api.PUT("/v1/profile/password", {
          body: { current_password: current, new_password: fresh },
        }),
      ),
    onSuccess: async () => {
      form.reset();
      notifications.show({
        message: "Password changed. Every other session has ended.",
        color: "teal",
      });
      await queryClient.invalidateQueries({ queryKey: SESSIONS });
    },
    onError: (error) => form.setErrors(atFields(asError(error))),
  });
  const placed = changing.error && Object.keys(atFields(asError(changing.error))).length > 0;
  return (
    <form onSubmit={form.onSubmit((passwords) => changing.mutate(passwords))} noValidate>
      <Stack>
        <input type="hidden" name="username" autoComplete="username" value={email} readOnly />
        <SimpleGrid cols={{ base: 1, sm: 3 }} spacing="md">
          <PasswordInput
            label="Current password"
            autoComplete="current-password"
            required
            maxLength={200}
            aria-invalid={Boolean(form.errors.current)}
            {...form.getInputProps("current")}
          />
          <PasswordInput
            label="New password"
            placeholder={PASSWORD_HINT}
            autoComplete="new-password"
            required
            maxLength={200}
            aria-invalid={Boolean(form.errors.fresh)}
            {...form.getInputProps("fresh")}
          />
          <PasswordInput
            label="New password again"
            autoComplete="new-password"
            required
            maxLength={200}
            aria-invalid={Boolean(form.errors.again)}
            {...form.getInputProps("again")}
          />
        </SimpleGrid>
        {changing.error && !placed && <ProblemAlert error={changing.error} />}
        <Button type="submit" loading={changing.isPending} style={{ alignSelf: "flex-start" }}>
          Change password
        </Button>
      </Stack>
    </form>
  );
}

function atFields(error: ProblemError): Partial<typeof EMPTY> {
  if (error.code !== "invalid_input") return {};
  const fresh = error.at("new_password");
  if (fresh) return { fresh };
  return error.at("current_password") ? { current: "Not your password." } : {};
}
