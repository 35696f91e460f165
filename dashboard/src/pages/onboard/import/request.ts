import { type LoginForm, type OnboardRequest, ownKey } from "../form";
import type { Row } from "./row";

/** What is sent for a row without problems. */
export function requestOf(row: Row, login: LoginForm): OnboardRequest {
  return {
    instance_id: row.name,
    ssh_host: row.host,
    ssh_port: row.port ?? 22,
    ssh_user: row.user,
    login: login.login,
    ...ownKey(login),
    ...row.texts,
    ...row.amounts,
    metadata: row.metadata,
  };
}
