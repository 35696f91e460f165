import { useDebouncedValue } from "@mantine/hooks";
import { useEffect, useState } from "react";
import { asError } from "../../../api/client";
import { type Format, readMachines, recognise } from "./read";
import { ImportRefused, type Read } from "./row";

const PAUSE_MS = 250;
const NOTHING: Told = { read: null, refusal: null };

interface Told {
  read: Read | null;
  refusal: string | null;
}

export interface Machines extends Told {
  format: Format | null;
}

/** What a text says, once nobody has typed for a moment. */
export function useMachines(text: string, chosen: Format | null): Machines {
  const [settled] = useDebouncedValue(text, PAUSE_MS);
  const [told, setTold] = useState<Told>(NOTHING);
  const blank = settled.trim() === "";
  const format = blank ? null : (chosen ?? recognise(settled));
  useEffect(() => {
    if (format === null) return setTold(NOTHING);
    let current = true;
    readMachines(settled, format).then(
      (read) => current && setTold({ read, refusal: null }),
      (error: unknown) => current && setTold({ read: null, refusal: sentence(error) }),
    );
    return () => {
      current = false;
    };
  }, [settled, format]);
  return { ...told, format };
}

function sentence(error: unknown): string {
  return error instanceof ImportRefused ? error.message : asError(error).problem.detail;
}
