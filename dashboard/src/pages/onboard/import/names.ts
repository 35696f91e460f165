import type { Told } from "./row";

type Field = Exclude<keyof Told, "metadata">;

/** Our fields by the names that the API, providers and spreadsheets have for them; case and signs don't count. */
const NAMES: Record<Field, string> = {
  name: "instance_id name id instance vast_instance_id label alias machine server",
  host: "ssh_host host hostname host_name ip ip_address address addr public_ip public_ipaddr fqdn ssh_addr",
  port: "ssh_port port",
  user: "ssh_user user username login user_name",
  offer_id: "offer_id vast_offer_id offer",
  machine_id: "machine_id vast_machine_id",
  provider: "provider vendor cloud",
  location: "location region datacenter data_center geolocation country site",
  price_per_hour: "price_per_hour price hourly_price price_hour usd_per_hour dph dph_total rate",
  gpu_name: "gpu_name gpu gpu_model model gpu_type",
  gpu_count: "gpu_count count gpus num_gpus gpu_quantity quantity",
  cuda_version: "cuda_version cuda cuda_max_good",
  disk_space_gb: "disk_space_gb disk disk_gb disk_space storage",
  cpu_count: "cpu_count cpus cpu_cores cores vcpus",
};

const KNOWN = new Map<string, Field>(
  (Object.entries(NAMES) as [Field, string][]).flatMap(([field, names]) =>
    names.split(" ").map((name): [string, Field] => [bare(name), field]),
  ),
);

/** Our name of a field that is called `name` elsewhere; undefined for one we don't know. */
export function fieldOf(name: string): Field | undefined {
  return KNOWN.get(bare(name));
}

/** Where a file has two names for one field, the one that comes first in our list counts: `instance_id` over `name`. */
export function rank(name: string): number {
  const field = fieldOf(name);
  return field ? NAMES[field].split(" ").findIndex((each) => bare(each) === bare(name)) : -1;
}

function bare(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, "");
}
