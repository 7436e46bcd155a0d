package command

import (
	"fmt"
	"io"

	"github.com/caddy-mailchimp-hook/caddy-mailchimp-hook/mandrill"
)

// requirement is something that Mandrill asks of a sender domain.
type requirement struct {
	name string
	met  bool
	// remedy are lines for the operator, among them a DNS record.
	remedy []string
}

// requirements returns what Mandrill asks of a domain, and what is met. What it doesn't speak of is left out.
func requirements(d mandrill.Domain) []requirement {
	verification := requirement{"verification", d.VerifiedAt != "", []string{
		"Prove that the domain is yours: have Mandrill send a mail to an address there (Settings > Domains), " +
			"or set the TXT record",
	}}
	if d.VerifyTXTKey != "" {
		verification.remedy = append(verification.remedy, d.Domain+". TXT \"mandrill_verify."+d.VerifyTXTKey+"\"")
	}
	list := []requirement{verification}
	records := dnsRecords(d.Domain)
	for i, record := range []*mandrill.Record{&d.DKIM, d.DKIM2, d.DMARC} {
		if record == nil {
			continue
		}
		r := requirement{records[i].name, record.Valid, []string{records[i].line}}
		if record.Error != "" {
			r.remedy = append(r.remedy, "Mandrill says: "+printable(record.Error))
		}
		list = append(list, r)
	}
	return list
}

type dnsRecord struct{ name, line string }

// dnsRecords are the records of a sender domain that are the same for all accounts.
func dnsRecords(domain string) []dnsRecord {
	return []dnsRecord{
		{"DKIM 1", "mte1._domainkey." + domain + ". CNAME dkim1.mandrillapp.com."},
		{"DKIM 2", "mte2._domainkey." + domain + ". CNAME dkim2.mandrillapp.com."},
		{"DMARC", "_dmarc." + domain + ". TXT \"v=DMARC1; p=none\""},
	}
}

// printDomain prints what Mandrill asks of a domain, and how to meet it.
func printDomain(w io.Writer, indent string, d mandrill.Domain) {
	for _, r := range requirements(d) {
		state := "ok"
		if !r.met {
			state = "missing"
		}
		fmt.Fprintf(w, "%s%-13s %s\n", indent, r.name, state)
		if r.met {
			continue
		}
		for _, line := range r.remedy {
			fmt.Fprintf(w, "%s%-13s %s\n", indent, "", line)
		}
	}
}

// unsigned returns an error if Mandrill does not send for a domain. Mandrill's verdict counts, and not its records.
func unsigned(d mandrill.Domain) error {
	if d.ValidSigning {
		return nil
	}
	for _, r := range requirements(d) {
		if !r.met {
			return fmt.Errorf("%s: Mandrill rejects its mail as \"unsigned\" until this is fixed. "+
				"New DNS records can take a day to be seen", d.Domain)
		}
	}
	return fmt.Errorf("%s: every record looks right, but Mandrill does not sign for the domain (valid_signing is false) "+
		"and may reject its mail as \"unsigned\". New DNS records can take a day to be seen; after that, ask "+
		"Mailchimp's support", d.Domain)
}
