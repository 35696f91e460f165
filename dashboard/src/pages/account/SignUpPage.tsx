import { getRouteApi } from "@tanstack/react-router";
import { api, take } from "../../api/client";
import { AccountForm } from "./AccountForm";

const route = getRouteApi("/sign-up");

export function SignUpPage() {
  const { next } = route.useSearch();
  return (
    <AccountForm
      title="Sign up"
      text="GPU machines, tested and compared."
      button="Make an account"
      password="new"
      other={{ to: "/sign-in", text: "There is an account already?", link: "Sign in" }}
      next={next}
      send={(login) => take(api.POST("/v1/auth/sign-up", { body: login }))}
    />
  );
}
