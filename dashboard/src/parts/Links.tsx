import { Anchor, type AnchorProps, Button, type ButtonProps } from "@mantine/core";
import { createLink } from "@tanstack/react-router";
import type { ComponentProps } from "react";

type Own<Props> = Props & Omit<ComponentProps<"a">, keyof Props>;

/** Links of the router in the library's clothes, with addresses and searches checked by the compiler. */
export const LinkAnchor = createLink((props: Own<AnchorProps>) => <Anchor {...props} />);
export const LinkButton = createLink((props: Own<ButtonProps>) => (
  <Button component="a" {...props} />
));
