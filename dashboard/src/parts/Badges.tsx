import {
  IconBan,
  IconCircleCheck,
  IconCircleDashed,
  IconCircleX,
  IconClock,
  IconHelpCircle,
  IconLoader,
  IconPlugConnectedX,
} from "@tabler/icons-react";

interface Look {
  color: string;
  icon: typeof IconClock;
}

/** Every state, verdict and status has a colour, a sign and its word: colour alone tells nobody enough. */
const LOOKS: Record<string, Look> = {
  passed: { color: "teal", icon: IconCircleCheck },
  active: { color: "teal", icon: IconCircleCheck },
  completed: { color: "teal", icon: IconCircleCheck },
  failed: { color: "red", icon: IconCircleX },
  offline: { color: "red", icon: IconPlugConnectedX },
  inconclusive: { color: "yellow", icon: IconHelpCircle },
  cancelled: { color: "gray", icon: IconBan },
  inactive: { color: "gray", icon: IconCircleDashed },
  maintenance: { color: "yellow", icon: IconClock },
  pending: { color: "gray", icon: IconCircleDashed },
  not_started: { color: "gray", icon: IconCircleDashed },
  queued: { color: "harbor", icon: IconClock },
};
const AT_WORK: Look = { color: "harbor", icon: IconLoader };

/** A plain span: tables of thousands of rows have two in each. */
export function StateBadge({ state, size = "md" }: { state: string; size?: "sm" | "md" | "lg" }) {
  const { color, icon: Icon } = LOOKS[state] ?? AT_WORK;
  return (
    <span className={`state state-${size} state-${color}`} data-state={state}>
      <Icon size={13} aria-hidden />
      {state.replaceAll("_", " ")}
    </span>
  );
}
