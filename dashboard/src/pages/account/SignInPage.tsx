import { getRouteApi } from "@tanstack/react-router";
import { api, take } from "../../api/client";
import { AccountForm } from "./AccountForm";

const route = getRouteApi("/sign-in");

export function SignInPage() {
  const { next } = route.useSearch();
  return (
    <AccountForm
      title="Sign in"
      text={next ? "Then you are back where you were." : "GPU machines, tested and compared."}
      button="Sign in"
      password="current"
      other={{ to: "/sign-up", text: "No account yet?", link: "Sign up" }}
      next={next}
      send={(login) => take(api.POST("/v1/auth/sign-in", { body: login }))}
    />
  );
}
