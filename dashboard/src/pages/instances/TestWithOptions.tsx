import { Button, Group, Modal, Stack, Text } from "@mantine/core";
import { useState } from "react";
import type { Overview } from "../../api/fleet";
import { number } from "../../parts/format";
import { OptionsFields } from "../instance/OptionsFields";
import { DEFAULT_OPTIONS } from "../instance/options";
import type { Options } from "./testing";

interface Props {
  instances: Overview[];
  onTest: (options: Options) => void;
  onClose: () => void;
}

export function TestWithOptions({ instances, onTest, onClose }: Props) {
  const [options, setOptions] = useState<Options>(DEFAULT_OPTIONS);
  const [only] = instances;
  const whom = instances.length === 1 ? only?.name : `${number(instances.length)} instances`;
  return (
    <Modal opened onClose={onClose} title={`Test ${whom} with options`} size="lg">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          onTest(options);
        }}
      >
        <Stack>
          <Text size="sm" c="dimmed">
            Only results with the same conditions can be compared with each other, so the defaults
            are best for a history.
          </Text>
          <OptionsFields options={options} onChange={setOptions} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit">Test {whom}</Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
