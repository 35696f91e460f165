import { Button, Group, List, Progress, Stack, Text } from "@mantine/core";
import { useEffect, useMemo, useState } from "react";
import { number } from "../../parts/format";
import { LinkButton } from "../../parts/Links";
import { PageTitle } from "../../parts/PageTitle";
import { Section } from "../../parts/Section";
import { keyFault, type LoginForm, NO_LOGIN } from "./form";
import { ImportSource } from "./import/ImportSource";
import { ImportTable } from "./import/ImportTable";
import type { Format } from "./import/read";
import type { Row } from "./import/row";
import { type Import, useImport } from "./import/useImport";
import { useMachines } from "./import/useMachines";
import { LoginFields } from "./LoginFields";
import { Notice } from "./Notice";

const NO_ROWS: Row[] = [];

export function ImportPage() {
  const [text, setText] = useState("");
  const [format, setFormat] = useState<Format | null>(null);
  const [login, setLogin] = useState<LoginForm>(NO_LOGIN);
  const machines = useMachines(text, format);
  const rows = machines.read?.rows ?? NO_ROWS;
  const importing = useImport(login);
  return (
    <>
      <PageTitle
        title="Import GPU instances"
        text="Many machines from one text. Nothing is onboarded before you choose."
        actions={
          <LinkButton to="/instances/onboard" variant="default">
            Onboard one
          </LinkButton>
        }
      />
      <Stack maw={1280}>
        <Section title="Source">
          <ImportSource
            text={text}
            machines={machines}
            disabled={importing.running}
            onFormat={setFormat}
            onText={(changed) => {
              setText(changed);
              if (changed.trim() === "") setFormat(null);
            }}
          />
        </Section>
        {machines.read && (
          <Chosen
            rows={rows}
            notes={machines.read.notes}
            login={login}
            onLogin={(change) => setLogin((before) => ({ ...before, ...change }))}
            importing={importing}
          />
        )}
      </Stack>
    </>
  );
}

interface ChosenProps {
  rows: Row[];
  notes: string[];
  login: LoginForm;
  onLogin: (change: Partial<LoginForm>) => void;
  importing: Import;
}

function Chosen({ rows, notes, login, onLogin, importing }: ChosenProps) {
  const [left, setLeft] = useState<ReadonlySet<Row>>(new Set());
  const [fault, setFault] = useState<string | null>(null);
  const { forget } = importing;
  // biome-ignore lint/correctness/useExhaustiveDependencies: other rows, another story
  useEffect(() => {
    setLeft(new Set());
    forget();
  }, [rows]);
  const ready = useMemo(() => rows.filter((row) => row.problems.length === 0), [rows]);
  const chosen = new Set(ready.filter((row) => !left.has(row)));
  const choose = (changed: readonly Row[], choosing: boolean) =>
    setLeft((before) => {
      const after = new Set(before);
      for (const row of changed) choosing ? after.delete(row) : after.add(row);
      return after;
    });
  const start = (those: Row[]) => {
    const found = keyFault(login);
    setFault(found);
    if (found) document.querySelector<HTMLElement>('main [name="ssh_key"]')?.focus();
    else void importing.run(those);
  };
  return (
    <>
      <Section title="Login for all" text="Our key, or one of yours that opens all of them.">
        <LoginFields
          user="the user of its row"
          value={login}
          onChange={(change) => {
            setFault(null);
            onLogin(change);
          }}
          errors={{ ssh_key: fault ?? importing.loginError }}
        />
      </Section>
      <Section title="Machines">
        <Notes notes={notes} />
        <ImportTable
          rows={rows}
          outcomes={importing.outcomes}
          chosen={chosen}
          onChoose={choose}
          disabled={importing.running}
        />
        <Actions rows={ready} chosen={chosen} importing={importing} onStart={start} />
      </Section>
    </>
  );
}

function Notes({ notes }: { notes: string[] }) {
  if (notes.length === 0) return null;
  return (
    <Notice title="Passed over">
      <List size="sm" listStyleType="none" style={{ overflowWrap: "anywhere" }}>
        {notes.slice(0, MOST_NOTES).map((note) => (
          <List.Item key={note}>{note}</List.Item>
        ))}
        {notes.length > MOST_NOTES && (
          <List.Item>… and {number(notes.length - MOST_NOTES)} more.</List.Item>
        )}
      </List>
    </Notice>
  );
}

const MOST_NOTES = 10;

interface ActionsProps {
  rows: Row[];
  chosen: ReadonlySet<Row>;
  importing: Import;
  onStart: (rows: Row[]) => void;
}

function Actions({ rows, chosen, importing, onStart }: ActionsProps) {
  const { outcomes, running, asked, done } = importing;
  const having = (state: string) => rows.filter((row) => outcomes.get(row)?.state === state);
  const failed = having("failed");
  const onboarded = having("onboarded").length;
  const todo = rows.filter((row) => chosen.has(row) && !outcomes.has(row));
  const waiting = running ? asked - done : 0;
  return (
    <Stack gap="sm">
      {running && (
        <Progress value={(100 * done) / Math.max(1, asked)} aria-label="Machines onboarded" />
      )}
      <Group gap="md">
        {running ? (
          <Button variant="default" onClick={importing.stop}>
            Stop
          </Button>
        ) : todo.length > 0 || onboarded === 0 ? (
          <Button onClick={() => onStart(todo)} disabled={todo.length === 0}>
            Onboard {number(todo.length)} {todo.length === 1 ? "machine" : "machines"}
          </Button>
        ) : null}
        {failed.length > 0 && !running && (
          <Button variant="default" onClick={() => onStart(failed)}>
            Try {number(failed.length)} again
          </Button>
        )}
        {onboarded > 0 && !running && (
          <LinkButton to="/instances" variant={todo.length > 0 ? "default" : "filled"}>
            To the GPU instances
          </LinkButton>
        )}
        <Text size="sm" c="dimmed" role="status">
          {outcomes.size > 0 &&
            `${number(onboarded)} onboarded, ${number(failed.length)} failed${waiting ? `, ${number(waiting)} to go` : ""}.`}
          {outcomes.size === 0 && todo.length === 0 && "Choose machines that are ready."}
        </Text>
      </Group>
    </Stack>
  );
}
