import { Button, Group, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { api, asError, newKey, type Shapes, take } from "../../api/client";
import type { OnboardRequest } from "./form";
import { onboardOnce } from "./onboardOnce";

type Instance = Shapes["InstanceShape"];

const OFFER_MS = 15_000;

/** Saves a machine, goes to its page and offers the first test. */
export function useOnboarding(onRefused: (error: ReturnType<typeof asError>) => void) {
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const offerTest = useTestOffer();
  return useMutation({
    mutationFn: (request: OnboardRequest) => onboardOnce(request),
    gcTime: 0, // the request may hold a private key
    onSuccess: async ({ gpu_instance: instance }) => {
      await queryClient.invalidateQueries({ queryKey: ["instances"] });
      await queryClient.invalidateQueries({ queryKey: ["inventory"] });
      await navigate({ to: "/instances/$instanceId", params: { instanceId: instance.id } });
      offerTest(instance);
    },
    onError: (error) => onRefused(asError(error)),
  });
}

function useTestOffer(): (instance: Instance) => void {
  const navigate = useNavigate();
  const test = async (instance: Instance, offer: string) => {
    notifications.hide(offer);
    try {
      const run = await take(
        api.POST("/v1/instances/{instance_id}/runs", {
          params: { path: { instance_id: instance.id }, header: { "Idempotency-Key": newKey() } },
          body: undefined,
        }),
      );
      await navigate({ to: "/runs/$runId", params: { runId: run.id } });
    } catch (error) {
      const { problem } = asError(error);
      notifications.show({ color: "red", title: problem.title, message: problem.remedy });
    }
  };
  return (instance) => {
    const offer = `onboarded-${instance.id}`;
    notifications.show({
      id: offer,
      color: "teal",
      autoClose: OFFER_MS,
      title: `${instance.vast_instance_id} is onboarded`,
      message: (
        <Group justify="space-between" gap="sm">
          <Text size="sm">A test makes it active.</Text>
          <Button size="xs" onClick={() => void test(instance, offer)}>
            Test now
          </Button>
        </Group>
      ),
    });
  };
}
