import { Button, Center, Paper, PasswordInput, Stack, Text, TextInput, Title } from "@mantine/core";
import { useForm } from "@mantine/form";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { type ReactNode, useEffect } from "react";
import { asError, type ProblemError } from "../../api/client";
import { profileQuery } from "../../api/queries";
import { LinkAnchor } from "../../parts/Links";
import { useTitle } from "../../parts/PageTitle";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { SchemeToggle } from "../../shell/SchemeToggle";
import { addressFault, PASSWORD_HINT, passwordFault } from "./rules";

export interface Login {
  email: string;
  password: string;
}

interface Props {
  title: string;
  text: string;
  button: string;
  /** A new password has rules; one that exists is only compared. */
  password: "current" | "new";
  other: { to: "/sign-in" | "/sign-up"; text: string; link: string };
  next: string | undefined;
  send: (login: Login) => Promise<unknown>;
}

/** Address and password; a session brings one back to where it was asked for. */
export function AccountForm(props: Props) {
  useTitle(props.title);
  const isNew = props.password === "new";
  const onward = useOnward(props.next);
  const form = useForm<Login>({
    initialValues: { email: "", password: "" },
    validate: {
      email: addressFault,
      password: (value) => (isNew ? passwordFault(value) : value ? null : "Your password."),
    },
  });
  const sending = useMutation({
    mutationFn: props.send,
    onSuccess: onward,
    onError: (error) => form.setErrors(atFields(asError(error))),
  });
  const placed = sending.error && Object.keys(atFields(asError(sending.error))).length > 0;
  return (
    <Center mih="100vh" p="md" component="main" id="main">
      <Paper className="surface" p="xl" w={400} maw="100%" pos="relative">
        <div style={{ position: "absolute", top: 12, right: 12 }}>
          <SchemeToggle />
        </div>
        <form onSubmit={form.onSubmit((login) => sending.mutate(login), focusFirst)} noValidate>
          <Stack>
            <Heading title={props.title} text={props.text} />
            {sending.error && !placed && <ProblemAlert error={sending.error} />}
            <TextInput
              label="E-mail address"
              type="email"
              name="email"
              autoComplete="username"
              required
              autoFocus
              maxLength={255}
              {...form.getInputProps("email")}
            />
            <PasswordInput
              label="Password"
              name="password"
              description={isNew ? PASSWORD_HINT : undefined}
              autoComplete={`${props.password}-password`}
              required
              maxLength={200}
              aria-invalid={Boolean(form.errors.password)}
              {...form.getInputProps("password")}
            />
            <Button type="submit" loading={sending.isPending}>
              {props.button}
            </Button>
            <OtherWays {...props} />
          </Stack>
        </form>
      </Paper>
    </Center>
  );
}

function Heading({ title, text }: { title: string; text: string }) {
  return (
    <Stack gap={4}>
      <img src="/icon.svg" alt="" width={36} height={36} />
      <Title order={1} size="h3">
        {title}
      </Title>
      <Text size="sm" c="dimmed">
        {text}
      </Text>
    </Stack>
  );
}

function OtherWays({ other, next }: Props) {
  return (
    <Stack gap={4}>
      <Text size="sm">
        {other.text}{" "}
        <LinkAnchor to={other.to} search={{ next }} underline="always">
          {other.link}
        </LinkAnchor>
      </Text>
      <LinkAnchor to="/listing" size="sm" underline="always">
        See verified GPUs without an account
      </LinkAnchor>
    </Stack>
  );
}

/** To where one was going; who is signed in already goes there without being asked. */
function useOnward(next: string | undefined): () => void {
  const router = useRouter();
  const queryClient = useQueryClient();
  const { isSuccess: isSignedIn } = useQuery({ ...profileQuery, retry: false, staleTime: 0 });
  const target = next ?? "/instances";
  useEffect(() => {
    // The form is no place to come back to.
    if (isSignedIn) router.history.replace(target);
  }, [isSignedIn, router, target]);
  return () => {
    queryClient.clear(); // what the one before has seen
    router.history.replace(target);
  };
}

function atFields(error: ProblemError): Partial<Record<keyof Login, ReactNode>> {
  if (error.code === "account_exists") return { email: error.problem.title };
  if (error.status === 401)
    return { email: true, password: "E-mail address or password is wrong." };
  if (error.code !== "invalid_input") return {};
  const told = { email: error.at("email"), password: error.at("password") };
  return Object.fromEntries(Object.entries(told).filter(([, message]) => message));
}

function focusFirst(errors: Record<string, unknown>): void {
  const first = Object.keys(errors)[0];
  document.querySelector<HTMLInputElement>(`main [name="${first}"]`)?.focus();
}
