import { Skeleton, Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { profileQuery } from "../../api/queries";
import { PageTitle } from "../../parts/PageTitle";
import { ProblemAlert } from "../../parts/ProblemAlert";
import { AccountSection } from "./AccountSection";
import { ApiKeysSection } from "./ApiKeysSection";
import { CompanySection } from "./CompanySection";
import { SessionsSection } from "./SessionsSection";

export function ProfilePage() {
  const { data: profile, error } = useQuery(profileQuery);
  return (
    <>
      <PageTitle title="Profile" text="Your company, your account, and what acts in its name." />
      <Stack maw={1000}>
        {error && <ProblemAlert error={error} />}
        {profile ? (
          <>
            <CompanySection supplier={profile.supplier ?? null} />
            <AccountSection profile={profile} />
          </>
        ) : (
          !error && <Skeleton h={420} aria-label="Loading the profile" />
        )}
        <SessionsSection />
        <ApiKeysSection />
      </Stack>
    </>
  );
}
