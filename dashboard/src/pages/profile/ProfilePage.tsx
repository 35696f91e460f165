import { SimpleGrid, Skeleton, Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { profileQuery } from "../../api/queries";
import { PageTitle } from "../../parts/PageTitle";
import { ReadFault } from "../../parts/ReadFault";
import { AccountSection } from "./AccountSection";
import { ApiKeysSection } from "./ApiKeysSection";
import { CompanySection } from "./CompanySection";
import { SessionsSection } from "./SessionsSection";

export function ProfilePage() {
  const reading = useQuery(profileQuery);
  const profile = reading.data;
  return (
    <>
      <PageTitle title="Profile" text="Your company, your account, and what acts in its name." />
      <SimpleGrid cols={{ base: 1, xl: 2 }} spacing="md" verticalSpacing="md">
        <Stack>
          <ReadFault of={reading} />
          {profile ? (
            <>
              <CompanySection supplier={profile.supplier ?? null} />
              <AccountSection profile={profile} />
            </>
          ) : (
            !reading.error && <Skeleton h={420} aria-label="Loading the profile" />
          )}
        </Stack>
        <Stack>
          <SessionsSection />
          <ApiKeysSection />
        </Stack>
      </SimpleGrid>
    </>
  );
}
