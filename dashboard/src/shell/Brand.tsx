import { Group, Text } from "@mantine/core";
import { Link } from "@tanstack/react-router";

export function Brand() {
  return (
    <Group
      gap={8}
      wrap="nowrap"
      renderRoot={(props) => (
        <Link to="/" {...props} style={{ textDecoration: "none", color: "inherit" }} />
      )}
    >
      <img src="/icon.svg" alt="" width={26} height={26} />
      <Text fw={700} size="lg" component="span">
        Harborx
      </Text>
    </Group>
  );
}
