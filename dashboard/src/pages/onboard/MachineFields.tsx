import { NumberInput, SimpleGrid, TextInput } from "@mantine/core";
import type { UseFormReturnType } from "@mantine/form";
import type { ClipboardEvent } from "react";
import { readAddress } from "./address";
import type { OnboardForm } from "./form";

/** What every machine needs: its name, and where it is reached. */
export function MachineFields({ form }: { form: UseFormReturnType<OnboardForm> }) {
  /** An address in one piece, as providers print it, falls into its fields. */
  const takeApart = (event: ClipboardEvent<HTMLInputElement>) => {
    const read = readAddress(event.clipboardData.getData("text"));
    if (read === null) return;
    event.preventDefault();
    form.setValues(read);
  };
  return (
    <>
      <TextInput
        label="Instance id"
        description="The id your provider gave it, or a name of your own"
        required
        autoFocus
        maxLength={200}
        autoComplete="off"
        {...form.getInputProps("instance_id")}
        name="instance_id"
      />
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="md">
        <TextInput
          label="Host"
          description="Or paste a whole ssh command"
          placeholder="203.0.113.7"
          required
          maxLength={255}
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          onPaste={takeApart}
          {...form.getInputProps("ssh_host")}
          name="ssh_host"
        />
        <SimpleGrid cols={2} spacing="md">
          <NumberInput
            label="Port"
            description="Of sshd"
            required
            hideControls
            allowDecimal={false}
            allowNegative={false}
            {...form.getInputProps("ssh_port")}
            name="ssh_port"
          />
          <TextInput
            label="User"
            description="To log in as"
            required
            maxLength={64}
            autoComplete="off"
            autoCapitalize="off"
            spellCheck={false}
            {...form.getInputProps("ssh_user")}
            name="ssh_user"
          />
        </SimpleGrid>
      </SimpleGrid>
    </>
  );
}
