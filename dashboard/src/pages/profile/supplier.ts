import type { Shapes } from "../../api/client";

type Supplier = Shapes["Supplier-Output"];

/** The form's: an empty text where nothing is known. */
export type Company = { [name in keyof Supplier]-?: string };

interface Field {
  name: keyof Company;
  label: string;
  autoComplete?: string;
  type?: "email" | "tel";
  placeholder?: string;
}

export const FIELDS: Field[] = [
  { name: "company_name", label: "Company name", autoComplete: "organization" },
  { name: "legal_business_name", label: "Legal business name" },
  { name: "contact_email", label: "Contact e-mail", autoComplete: "email", type: "email" },
  {
    name: "contact_phone",
    label: "Contact phone",
    autoComplete: "tel",
    type: "tel",
    placeholder: "+49 69 1234567",
  },
  { name: "authorized_signatory", label: "Authorized signatory", autoComplete: "name" },
  {
    name: "signatory_title",
    label: "Signatory's title",
    autoComplete: "organization-title",
    placeholder: "Managing director",
  },
];

/** As the server bounds them. */
export const LONGEST: Record<keyof Company, number> = {
  company_name: 200,
  legal_business_name: 200,
  contact_email: 200,
  contact_phone: 50,
  business_address: 1000,
  authorized_signatory: 200,
  signatory_title: 200,
  infrastructure_description: 4000,
};

const NAMES = Object.keys(LONGEST) as (keyof Company)[];

export function companyOf(supplier: Supplier | null | undefined): Company {
  const entries = NAMES.map((name) => [name, supplier?.[name] ?? ""] as const);
  return Object.fromEntries(entries) as Company;
}

export function supplierOf(company: Company): Supplier {
  const trimmed = Object.fromEntries(NAMES.map((name) => [name, company[name].trim()])) as Company;
  return { ...trimmed, infrastructure_description: trimmed.infrastructure_description || null };
}

/** What is wrong with each field; only an address and a number that can't be one are refused. */
export function faults(company: Company): Partial<Record<keyof Company, string>> {
  const found: Partial<Record<keyof Company, string>> = {};
  for (const name of NAMES)
    if (name !== "infrastructure_description" && !company[name].trim()) found[name] = "Required.";
  if (company.contact_email.trim() && !/^[^@\s]+@[^@\s]+$/.test(company.contact_email.trim()))
    found.contact_email = "An address like name@example.com.";
  if (company.contact_phone.trim() && !isPhone(company.contact_phone))
    found.contact_phone = "A number like +49 69 1234567.";
  return found;
}

function isPhone(text: string): boolean {
  const digits = text.replace(/\D/g, "").length;
  return digits >= 5 && digits <= 20 && /^[\d\s+()./x-]+$/i.test(text.trim());
}
