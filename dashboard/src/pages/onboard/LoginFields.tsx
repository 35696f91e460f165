import { PasswordInput, SegmentedControl, Stack, Text, Textarea } from "@mantine/core";
import { type ReactNode, useId } from "react";
import { LOGINS, type LoginForm } from "./form";
import { OurCa, OurKey } from "./OurKey";

interface Props {
  value: LoginForm;
  onChange: (change: Partial<LoginForm>) => void;
  errors: Partial<Record<string, ReactNode>>;
  /** Who runs the command that lets our key in. */
  user?: string;
}

/** How we log in. A pasted key lives in the form's memory only, and goes with it. */
export function LoginFields({ value, onChange, errors, user = "the user above" }: Props) {
  const label = useId();
  return (
    <Stack gap="sm">
      <Text size="sm" fw={500} id={label}>
        We log in with
      </Text>
      <SegmentedControl
        aria-labelledby={label}
        value={value.login}
        onChange={(login) =>
          onChange({ login: LOGINS.find((known) => known === login) ?? "shared" })
        }
        data={[
          { value: "shared", label: "Our key" },
          { value: "certificate", label: "Our certificate authority" },
          { value: "own", label: "A private key" },
        ]}
        style={{ alignSelf: "flex-start", maxWidth: "100%" }}
      />
      {value.login === "shared" && <OurKey user={user} />}
      {value.login === "certificate" && <OurCa user={user} />}
      {value.login === "own" && <PastedKey value={value} onChange={onChange} errors={errors} />}
    </Stack>
  );
}

function PastedKey({ value, onChange, errors }: Props) {
  return (
    <>
      <Textarea
        label="Private key"
        name="ssh_key"
        description="OpenSSH or PEM: Ed25519, ECDSA or RSA. Stored encrypted, shown to nobody, also not to you."
        placeholder={"-----BEGIN OPENSSH PRIVATE KEY-----\n…\n-----END OPENSSH PRIVATE KEY-----"}
        required
        autosize
        minRows={5}
        maxRows={10}
        autoComplete="off"
        autoCorrect="off"
        autoCapitalize="off"
        spellCheck={false}
        styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
        value={value.ssh_key}
        onChange={(event) => onChange({ ssh_key: event.currentTarget.value })}
        error={errors.ssh_key}
      />
      <PasswordInput
        label="Passphrase"
        name="ssh_key_passphrase"
        description="If the key has one. It is used once, to read the key, and never stored."
        autoComplete="off"
        maxLength={1024}
        maw={400}
        value={value.ssh_key_passphrase}
        onChange={(event) => onChange({ ssh_key_passphrase: event.currentTarget.value })}
        error={errors.ssh_key_passphrase}
      />
    </>
  );
}
