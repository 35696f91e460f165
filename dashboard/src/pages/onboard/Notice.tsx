import { Alert } from "@mantine/core";
import type { ReactNode } from "react";

/** Something to know that is no error. The title keeps the text's colour: yellow misses the contrast on white. */
export function Notice({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Alert
      color="yellow"
      variant="outline"
      title={title}
      styles={{ title: { color: "var(--mantine-color-text)" } }}
    >
      {children}
    </Alert>
  );
}
