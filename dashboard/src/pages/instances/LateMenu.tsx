import { type ReactElement, type RefObject, Suspense, useRef, useState } from "react";

export interface TargetProps {
  ref: RefObject<HTMLButtonElement | null>;
  onClick: (() => void) | undefined;
  "aria-haspopup": "menu";
  "aria-expanded": boolean;
}

interface Props {
  button: (props: TargetProps) => ReactElement;
  /** The menu, open, around the button. */
  menu: (target: ReactElement, onClose: () => void) => ReactElement;
}

/** A menu that is fetched and made when it is first opened: rows that scroll by, and the first load, must be cheap. */
export function LateMenu({ button, menu }: Props) {
  const ref = useRef<HTMLButtonElement>(null);
  const [opened, setOpened] = useState(false);
  const close = () => {
    setOpened(false);
    requestAnimationFrame(() => ref.current?.focus({ preventScroll: true }));
  };
  const target = button({
    ref,
    onClick: opened ? undefined : () => setOpened(true),
    "aria-haspopup": "menu",
    "aria-expanded": opened,
  });
  return opened ? <Suspense fallback={target}>{menu(target, close)}</Suspense> : target;
}
