import { Menu } from "@mantine/core";
import {
  IconAdjustments,
  IconArrowsDiff,
  IconPlayerPlay,
  IconServer,
  IconTimeline,
} from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import type { ReactElement } from "react";
import type { Overview } from "../../api/fleet";
import { useTestingActions } from "./useTesting";

interface Props {
  instance: Overview;
}

interface MenuProps extends Props {
  target: ReactElement;
  onClose: () => void;
}

export function RowMenu({ instance, target, onClose }: MenuProps) {
  return (
    <Menu
      defaultOpened
      withInitialFocusPlaceholder={false}
      onClose={onClose}
      position="bottom-end"
      shadow="md"
    >
      <Menu.Target>{target}</Menu.Target>
      <Menu.Dropdown>
        <RowMenuItems instance={instance} />
      </Menu.Dropdown>
    </Menu>
  );
}

function RowMenuItems({ instance }: Props) {
  const { test, cancel, withOptions } = useTestingActions();
  const run = instance.run ?? instance.last_run;
  return (
    <>
      {run && (
        <Menu.Item
          leftSection={<IconTimeline size={16} aria-hidden />}
          renderRoot={(props) => (
            <Link
              {...props}
              to="/runs/$runId"
              params={{ runId: run.id }}
              search={{ tab: undefined }}
            />
          )}
        >
          {instance.run ? "Watch the run" : "Open the last run"}
        </Menu.Item>
      )}
      <Menu.Item
        leftSection={<IconServer size={16} aria-hidden />}
        renderRoot={(props) => (
          <Link
            {...props}
            to="/instances/$instanceId"
            params={{ instanceId: instance.id }}
            search={{ tab: undefined }}
          />
        )}
      >
        Instance page
      </Menu.Item>
      <Menu.Item
        leftSection={<IconArrowsDiff size={16} aria-hidden />}
        renderRoot={(props) => (
          <Link {...props} to="/compare" search={{ instances: instance.id, runs: undefined }} />
        )}
      >
        Compare
      </Menu.Item>
      <Menu.Divider />
      {instance.run ? (
        <Menu.Item
          leftSection={<IconPlayerPlay size={16} aria-hidden />}
          onClick={() => void cancel([instance])}
        >
          Cancel the test
        </Menu.Item>
      ) : (
        <Menu.Item
          leftSection={<IconPlayerPlay size={16} aria-hidden />}
          onClick={() => void test([instance])}
        >
          Test
        </Menu.Item>
      )}
      <Menu.Item
        leftSection={<IconAdjustments size={16} aria-hidden />}
        onClick={() => withOptions([instance])}
        disabled={instance.run !== null}
      >
        Test with options…
      </Menu.Item>
    </>
  );
}
